"""The client and the server behind, both in C so that they cost next to nothing, built when they are needed.

``load.c`` sends and compares, ``sink.c`` takes and says what it saw, ``limit.c`` is the least that a proxy
can cost; what their options mean stands at the top of each.
"""
