"""From method and path to what is done with a request."""
