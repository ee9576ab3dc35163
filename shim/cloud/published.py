"""The lists of live uploads that shims publish for each other, as bounded bytes and back.

Whoever may write to the shared server may write anything there: what is read is checked field by field, and
what is not as it should be is left out.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

Upload: TypeAlias = dict[str, Any]

MOST_BYTES = 64 * 1024
"""Of one list; what is longer was not written by a shim."""
_LONGEST_TEXT = 256
# Bytes, bytes a second and seconds: no shim has that many. NaN is below nothing.
_BEYOND_NUMBERS = 1 << 63
_TEXTS = ("id", "method", "path", "project", "image", "phase")
_NUMBERS = ("bytes", "rate", "age")


def encode_uploads(shim: str, uploads: Iterable[Mapping[str, Any]]) -> bytes:
    """The list of one process as JSON: the first ones, as many as have room, and whose they are."""
    head = json.dumps({"shim": shim[:_LONGEST_TEXT]}).encode()
    parts, size = [head], len(head) + len("[]")
    for upload in uploads:
        part = json.dumps(_shortened(upload)).encode()
        size += len(part) + len(",")
        if size > MOST_BYTES:
            break
        parts.append(part)
    return b"[" + b",".join(parts) + b"]"


def decode_uploads(data: bytes) -> list[Upload]:
    """The uploads of a list, each with its ``shim``; none where it is no list of a shim's."""
    if len(data) > MOST_BYTES:
        return []
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return []
    if not isinstance(found, list) or not found or not isinstance(found[0], dict):
        return []
    shim = found[0].get("shim")
    if not _is_text(shim):
        return []
    return [{"shim": shim, **upload} for upload in map(_checked, found[1:]) if upload is not None]


def _shortened(upload: Mapping[str, Any]) -> Upload:
    # A phase that has not begun, or was just left, is none.
    texts = {name: (upload[name] or "")[:_LONGEST_TEXT] for name in _TEXTS}
    return texts | {name: upload[name] for name in (*_NUMBERS, "length")}


def _checked(entry: Any) -> Upload | None:
    """One upload with the fields that we know; None where one of them is not what it should be."""
    if not isinstance(entry, dict):
        return None
    length = entry.get("length")
    are_texts = all(_is_text(entry.get(name)) for name in _TEXTS)
    are_numbers = all(_is_number(entry.get(name)) for name in _NUMBERS)
    if not are_texts or not are_numbers or not (length is None or _is_number(length)):
        return None
    return {name: entry[name] for name in (*_TEXTS, *_NUMBERS)} | {"length": length}


def _is_text(value: Any) -> bool:
    # Half of a surrogate pair, which JSON can write and UTF-8 cannot, is not printable either.
    return isinstance(value, str) and len(value) <= _LONGEST_TEXT and value.isprintable()


def _is_number(value: Any) -> bool:
    # A switch is an int to Python; infinity and NaN are numbers to its JSON, and to nobody else's.
    is_plain = isinstance(value, int | float) and not isinstance(value, bool)
    return is_plain and 0 <= value < _BEYOND_NUMBERS
