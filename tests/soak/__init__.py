"""``make soak``: mixed traffic with faults for many minutes; then everything is back where it began."""
