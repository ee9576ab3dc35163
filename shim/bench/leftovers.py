"""What a run left behind that was killed: found by its tag, its names and its owner, and deleted.

All three have to fit: a tag is anybody's to set, and an administrator sees the images of every project.
"""

import urllib.parse
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from shim.bench.faults import BenchFault
from shim.bench.plan import is_name_of, mark_of
from shim.bench.service import HALF_DELETED, GlanceService, Place, ask_json

PAGE = 100
MOST_PAGES = 10_000


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What became of the leftovers: ids that are gone, and ids that stay with the reason."""

    gone: list[str]
    stay: dict[str, str]


async def clean_up(service: GlanceService) -> Cleaned:
    """Delete what the service's run left behind.

    Raises:
        BenchFault: It could not be looked for.
    """
    owner = await _own_project(service)
    found = [image["id"] async for image in _tagged(service) if is_leftover(image, service.run, owner)]
    cleaned = Cleaned([], {})
    for image in found:
        try:
            # The id is what a server says: it must not lead anywhere else.
            await service.remove(Place(urllib.parse.quote(str(image), safe=""), ""))
        except BenchFault as fault:
            cleaned.stay[image] = str(fault)
        else:
            cleaned.gone.append(image)
    return cleaned


def is_leftover(image: Mapping[str, Any], run: str, owner: str) -> bool:
    """Whether the run of this owner made it."""
    return (
        image.get("owner") == owner
        and image.get("visibility") == "private"
        and is_name_of(run, image.get("name"))
        and mark_of(run) in (image.get("tags") or ())
        and isinstance(image.get("id"), str)
        and image.get("status") not in HALF_DELETED
    )


async def _own_project(service: GlanceService) -> str:
    """Whose images the token makes; only making one tells."""
    place = service.place(0)
    try:
        image = await service.make(place, 0)
    finally:
        await service.remove(place)
    owner = image.get("owner")
    if not isinstance(owner, str) or not owner:
        raise BenchFault("refused", "Glance names no owner of what this token makes: nothing is deleted")
    return owner


async def _tagged(service: GlanceService) -> AsyncIterator[dict[str, Any]]:
    """All images with the run's tag, page by page."""
    query = {"tag": mark_of(service.run), "visibility": "private", "limit": str(PAGE)}
    for _ in range(MOST_PAGES):
        path = f"/v2/images?{urllib.parse.urlencode(query)}"
        page = await ask_json(service.client, "GET", path, "looking for leftovers")
        images = page.get("images")
        if not isinstance(images, list):
            raise BenchFault("refused", "looking for leftovers: the answer has no images")
        known = [image for image in images if isinstance(image, dict)]
        for image in known:
            yield image
        if not page.get("next") or not known:
            return
        query["marker"] = str(known[-1].get("id"))
