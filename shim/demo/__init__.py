"""A real Glance on this machine, for ``glance-shim demo``, the integration tests and the benchmarks.

``environment`` installs Glance once, ``glance`` gives it a configuration and a database, ``hosting`` runs
it under a WSGI server, ``front`` puts the shim before it; ``story`` tells with them what the demo shows.
"""


class DemoError(Exception):
    """Something of the demo could not be set up; the text says what happened and what to do."""


class PortTakenError(DemoError):
    """Another program took the port between our choosing it and the server's binding it."""
