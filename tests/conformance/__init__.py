"""The cases of ACCEPTANCE.md as tables, run against the shim as a process through raw sockets."""
