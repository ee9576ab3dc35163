"""Measurements of the shim against the proxies that people use in its place; ``make bench`` runs them.

``engine`` measures and compares whatever it is given, ``load`` is the client and the server behind, ``peers``
starts the proxies, ``scenarios`` says what is tried and which target it has to meet.
"""
