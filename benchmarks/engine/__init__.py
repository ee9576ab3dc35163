"""Measuring and comparing, whatever it is that runs: order, pairs, CPU and memory of process trees, verdicts.

Nothing here knows a proxy, a scenario's file or a document: a user's own benchmark can use it as it stands.
"""


class Inexact(Exception):
    """What a participant did was not the same work: bytes lost, a refusal, a missing length. Voids it."""


class NotMeasured(Exception):
    """A participant or scenario cannot be had here; the text says why, for a person."""
