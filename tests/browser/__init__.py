"""The status page in a real browser, over a real shim and over scenes that are made up."""
