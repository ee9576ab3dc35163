"""What stands in front of the shim in tests: nginx, HAProxy and Apache with the shipped configurations.

Also what people put in Glance's front without a shim (``peers``), for the comparison.
"""
