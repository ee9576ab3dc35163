"""From method, path, header and size to what is done with a request."""
