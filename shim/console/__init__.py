"""A running shim seen and steered from a terminal: what ``top`` and ``uploads`` are made of."""
