"""Glance under every WSGI hosting, from the configuration files that operators get in ``deploy/glance``."""
