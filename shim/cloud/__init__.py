"""Limits that hold over all shims of a cloud, through a Valkey or Redis server that they share."""
