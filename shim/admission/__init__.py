"""Who may come in: how many uploads at once, how slow they may be, and whether the shim is ending."""
