"""Glance's tasks by its log: which have begun, and which have come to their very end.

They are not asked for over HTTP: each question would contend with them for the same sqlite. That contention
is why one waits at all: while the last rows of a task are written, the first row of another one finds the
database locked; Glance gives up on it without a word, and that task stays pending for ever.
"""

import re

_BEGUN = re.compile(r"Task \[([^]]+)\] status changing from pending to")
_FAILED = re.compile(r"Task \[([^]]+)\] status changing from \w+ to failure")
_COMPLETED = re.compile(r"\] (\S+) of \w+ completed$", re.MULTILINE)
"""What Glance writes after the rows; "changing to success" comes before them."""


def ended_tasks(log: str) -> set[str]:
    """The tasks that came to an end, and have written all they had to."""
    return {*_FAILED.findall(log), *_COMPLETED.findall(log)}


def tasks_under_way(log: str) -> set[str]:
    """The tasks that began, and have not ended."""
    return set(_BEGUN.findall(log)) - ended_tasks(log)
