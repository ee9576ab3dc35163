"""Two runs side by side: for which tests the shim changes what becomes of them.

Values in, values out; an empty comparison is what the shim promises.
"""

from dataclasses import dataclass

from tests.tempest.runner import Run, Verdict

MISSING = "missing"
"""Instead of a status, where a run lacks a test that the other has."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A test that does not end the same way with the shim and without it.

    Attributes:
        without: Its status without the shim, or ``MISSING``.
        behind: Its status with the shim, or ``MISSING``.
        details: What it said in the run where it did not pass.
    """

    test: str
    without: str
    behind: str
    details: str

    @property
    def is_harm(self) -> bool:
        """Whether it passed without the shim: then the shim has broken it."""
        return self.without == "success"


def compare(without: Run, behind: Run) -> list[Difference]:
    """All differences, those that the shim made worse first, then by test id."""
    tests = without.verdicts.keys() | behind.verdicts.keys()
    pairs = ((test, without.verdicts.get(test), behind.verdicts.get(test)) for test in tests)
    differences = [
        Difference(test, _status(before), _status(after), _details(before, after))
        for test, before, after in pairs
        if _status(before) != _status(after)
    ]
    return sorted(differences, key=lambda difference: (not difference.is_harm, difference.test))


def _status(verdict: Verdict | None) -> str:
    return verdict.status if verdict else MISSING


def _details(*verdicts: Verdict | None) -> str:
    told = (verdict.details for verdict in verdicts if verdict and verdict.status != "success")
    return "\n".join(told)
