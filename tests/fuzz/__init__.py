"""``make fuzz``: atheris against what reads a client's and a server's bytes, beside h11 and httptools."""
