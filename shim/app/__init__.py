"""The ASGI applications: the proxy itself and the admin listener; they know no server."""
