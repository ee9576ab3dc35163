"""TOML as the shim writes it: keys and values, nothing of their arrangement.

The standard library reads TOML and does not write it; what configuration needs of writing is these lines.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def key(name: str) -> str:
    """``name`` as a key, in quotes where it needs them."""
    return name if _BARE_KEY.fullmatch(name) else _text(name)


def value(content: Any) -> str:
    """Text, a number, a switch, a list or a table (on one line) as TOML.

    Raises:
        TypeError: It is none of these.
    """
    match content:
        case bool():
            return "true" if content else "false"
        case str():
            return _text(content)
        case int() | float():
            return repr(content)
        case list() | tuple():
            return f"[{', '.join(map(value, content))}]"
        case Mapping():
            pairs = (f"{key(name)} = {value(inner)}" for name, inner in content.items())
            return f"{{{', '.join(pairs)}}}"
    raise TypeError(f"{content!r} has no form in TOML")


def _text(content: str) -> str:
    # JSON's escapes are TOML's, but for DEL, which JSON leaves as it is.
    return json.dumps(content, ensure_ascii=False).replace("\x7f", "\\u007f")
