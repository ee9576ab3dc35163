"""Measured against simulated: a real shim between clients and a server that both keep to a pace.

``traffic`` has the clients and the server, ``measure`` runs them and reads the shim's metrics meanwhile, and
``python -m benchmarks.capacity`` prints what it came to beside a simulation of the same uploads.
"""
