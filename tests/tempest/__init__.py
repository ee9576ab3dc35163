"""OpenStack's own tests of the image API, with the shim in front of Glance and without: ``make conformance``.

``nodes`` starts Glance, ``settings`` writes tempest.conf, ``runner`` runs tempest, ``comparison`` sets the
runs side by side, ``report`` writes that down, and ``__main__`` holds what is run. Every test that passes
without the shim must pass with it.
"""
