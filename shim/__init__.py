"""glance-shim: an async proxy that gives chunked uploads their length before a WSGI server sees them.

The rooms below and who may import whom stand in ``docs/architecture.md``; import-linter checks it.
"""

__version__ = "0.1.0"
