"""``python -m shim``: the same as the command ``glance-shim``."""

from shim.cli import main

main()
