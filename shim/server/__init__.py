"""uvicorn with a protocol class of our own, which stops at the end of each head."""
