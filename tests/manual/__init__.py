"""The manual put to the test: its code blocks, the commands in them, and the path of its quick start."""
