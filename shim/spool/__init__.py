"""Bytes on disk: bodies with one writer and any readers, the budget they hold, and the disk below."""
