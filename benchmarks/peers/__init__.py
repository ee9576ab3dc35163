"""The proxies that are measured, each from its template in this folder, in the best setting we know of.

``kinds`` names them, ``starting`` starts one on a free port; the shim is one of them, by its own command.
"""
