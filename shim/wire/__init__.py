"""Bytes to values and back: headers, framing, chunked, HTTP/1.1 heads, uwsgi packets.

Nothing here waits, opens a socket or asks for the time; each case is a line in a table of tests.
"""
