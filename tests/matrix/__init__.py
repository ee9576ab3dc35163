"""Every client on every hosting of Glance, without the shim and through it: ``make matrix``.

Clients and hostings are those of the integration tests; the tables go into docs/matrix.md and README.md.
"""
