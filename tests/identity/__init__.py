"""A real Keystone, and Glance behind keystonemiddleware: real tokens, which expire, for tests that need them.

``installations`` makes its virtual environment, ``keystone`` starts it, ``api`` speaks with it over HTTP, and
``site`` gives a Glance that asks it about every token.
"""
