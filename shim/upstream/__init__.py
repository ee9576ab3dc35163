"""The servers behind: connections of our own over HTTP/1.1 and the uwsgi protocol, pooled and grouped."""
