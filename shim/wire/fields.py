"""Field lines of a head, in the grammar of RFC 9110 section 5 and RFC 9112 section 5.

Names are kept, for the same few come again and again; whole lines are not. Looking those up saved no more
than a loop that asks little does, and took half as long again where a client sends others each time.
"""

from shim.errors import BadRequest, UpstreamInvalid
from shim.wire.headers import TOKEN, Headers, is_token, is_valid_value

# A longer one is nobody's.
LONGEST_NAME_KEPT = 64
NAMES_KEPT = 1024
_names: dict[bytes, bytes] = {}


def parse_fields(lines: list[bytes], error: type[BadRequest] | type[UpstreamInvalid]) -> Headers:
    """The fields of a head by its lines: names in lower case, values without surrounding white space.

    Raises:
        BadRequest, UpstreamInvalid: A line is malformed; ``error`` says which of them.
    """
    fields = []
    for line in lines:
        name, colon, value = line.partition(b":")
        lower = _names.get(name) or _field_name(name)
        if not (colon and lower):
            break
        fields.append((lower, value.strip(b" \t")))
    # One look at all octets of all values; which of them is malformed is found out only where one is.
    if len(fields) < len(lines) or not is_valid_value(b"".join(lines)):
        raise error(f"{_told(next(filter(_is_malformed, lines)))} is malformed.")
    return tuple(fields)


def _field_name(name: bytes) -> bytes:
    """The name in lower case, kept if it is as short as names are; empty where it can be none."""
    if not is_token(name):
        return b""
    lower = name.lower()
    if len(name) <= LONGEST_NAME_KEPT:
        if len(_names) >= NAMES_KEPT:
            # All of them, and not the oldest: those that do come again are soon back.
            _names.clear()
        _names[name] = lower
    return lower


def _is_malformed(line: bytes) -> bool:
    name, colon, value = line.partition(b":")
    return not (colon and is_token(name) and is_valid_value(value))


def _told(line: bytes) -> str:
    """A malformed field by its name, where that is one: of a folded line it would be a part of a value."""
    name = TOKEN.match(line)
    if name is None or b":" not in line:
        return "A header field"
    return f"The header field {name[0][:40].decode('ascii')!r}"
