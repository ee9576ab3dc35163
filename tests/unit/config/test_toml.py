"""TOML as it is written: each type of value, and any text, read back by the standard library."""

import datetime as dt
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.config import toml
from tests.support.series import series

WRITTEN = [
    (True, "true"),
    (False, "false"),
    (10000, "10000"),
    (0.75, "0.75"),
    ("10GiB", '"10GiB"'),
    ('a "b" \\ c', r'"a \"b\" \\ c"'),
    ("line\nend\x7f", r'"line\nend\u007f"'),
    ([], "[]"),
    (("a", "b"), '["a", "b"]'),
    ({"a": 1, "b c": ["d"]}, '{a = 1, "b c" = ["d"]}'),
]

# TOML text holds Unicode scalar values: no lone surrogates.
texts = st.text(st.characters(exclude_categories=["Cs"]))


@series(("content", "text"), WRITTEN)
def test_written(content, text):
    assert toml.value(content) == text


def test_what_has_no_form_in_toml_is_refused():
    with pytest.raises(TypeError, match="no form in TOML"):
        toml.value([dt.timedelta(1)])


@given(
    st.recursive(
        st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=8,
    ),
    texts,
)
def test_read_back(content, name):
    assert tomllib.loads(f"{toml.key(name)} = {toml.value(content)}") == {name: content}
