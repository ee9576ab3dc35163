"""What the processes of a shim know of their cloud, as a value that adds up."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CloudView:
    """One process's view, or that of several.

    Attributes:
        is_there: Whether the shared server answered it last; of several, all of them.
        reason: Why it did not, for the operator.
        uploads: Bodies under way in the whole cloud, as last told.
        members: Processes that hold leases, as last told.
    """

    is_there: bool
    reason: str
    uploads: int
    members: int


def views_together(views: Iterable[CloudView]) -> CloudView | None:
    """All of them as one; None where there is none."""
    each = list(views)
    if not each:
        return None
    return CloudView(
        is_there=all(one.is_there for one in each),
        reason=next((one.reason for one in each if not one.is_there), ""),
        uploads=max(one.uploads for one in each),
        members=max(one.members for one in each),
    )
