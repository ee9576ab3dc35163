"""W3C Trace Context, read strictly: what is malformed is not there, what is well-formed goes on unaltered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.observe.trace import TraceContext
from shim.wire.trace_context import read_trace_context, with_trace_context
from tests.support.series import series

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01".encode()
NAME = b"traceparent"


@series(
    ("value", "flags"),
    [
        pytest.param(PARENT, 1, id="sampled"),
        pytest.param(PARENT[:-2] + b"00", 0, id="not sampled"),
        pytest.param(PARENT[:-2] + b"03", 3, id="with a random id"),
        pytest.param(PARENT[:-2] + b"ff", 3, id="unknown flags are dropped"),
        pytest.param(b"01" + PARENT[2:], 1, id="a later version"),
        pytest.param(b"cc" + PARENT[2:] + b"-what-ever", 1, id="a later version with more"),
    ],
)
def test_a_parent(value, flags):
    assert read_trace_context(((NAME, value),)) == TraceContext(TRACE, SPAN, flags)


@series(
    "value",
    [
        pytest.param(b"", id="empty"),
        pytest.param(PARENT.upper(), id="capitals"),
        pytest.param(PARENT + b"-", id="version 00 with more"),
        pytest.param(PARENT + b"0", id="longer flags"),
        pytest.param(b"cc" + PARENT[2:] + b".more", id="a later version without its dash"),
        pytest.param(PARENT[:-1], id="shorter"),
        pytest.param(b"ff" + PARENT[2:], id="version ff"),
        pytest.param(PARENT.replace(TRACE.encode(), b"0" * 32), id="no trace"),
        pytest.param(PARENT.replace(SPAN.encode(), b"0" * 16), id="no span"),
        pytest.param(PARENT.replace(b"-", b"_"), id="other dashes"),
        pytest.param(b" " + PARENT, id="a space"),
        pytest.param(PARENT + b"\n", id="a line feed"),
        pytest.param(PARENT + b", " + PARENT, id="two in one"),
        pytest.param(PARENT.replace(b"4b", b"\xff\xb2"), id="no ASCII"),
    ],
)
def test_a_malformed_parent_is_none(value):
    assert read_trace_context(((NAME, value), (b"tracestate", b"a=1"))) is None


@pytest.mark.parametrize("headers", [(), ((b"tracestate", b"a=1"),), ((NAME, PARENT), (NAME, PARENT))])
def test_there_is_one_parent_or_none(headers):
    assert read_trace_context(headers) is None


@series(
    ("values", "state"),
    [
        ([], b""),
        ([b"a=1"], b"a=1"),
        ([b"a=1,b=2", b"c=3"], b"a=1,b=2,c=3"),
        ([b"a=1 ,\t b= 2"], b"a=1,b= 2"),
        ([b"a=1,,b=2,"], b"a=1,b=2"),
        ([b"t@v=x;y:z/~!"], b"t@v=x;y:z/~!"),
        ([b"0a=1"], b"0a=1"),
        ([b",".join(b"k%d=v" % number for number in range(32))], None),
        # Malformed, and then there is none.
        ([b",".join(b"k%d=v" % number for number in range(33))], b""),
        ([b"a=1,a=2"], b""),
        ([b"a=1", b"a=1"], b""),
        ([b"a"], b""),
        ([b"a="], b""),
        ([b"=1"], b""),
        ([b"A=1"], b""),
        ([b"a b=1"], b""),
        ([b"a=1=2"], b""),
        ([b"a=\x7f"], b""),
        ([b"a=1\t2"], b""),
        ([b"a=\xe4"], b""),
        ([b"a=" + b"v" * 256], None),
        ([b"a=" + b"v" * 257], b""),
        ([b"k" * 256 + b"=v"], None),
        ([b"k" * 257 + b"=v"], b""),
    ],
)
def test_the_state(values, state):
    context = read_trace_context(((NAME, PARENT), *((b"tracestate", value) for value in values)))
    assert context.state == (values[0] if state is None else state)


def test_the_fields_of_another_step():
    headers = ((b"host", b"h"), (NAME, b"old"), (b"tracestate", b"old"), (b"accept", b"*/*"))
    new = with_trace_context(headers, TraceContext(TRACE, SPAN, 1, b"a=1"))
    assert new == ((b"host", b"h"), (b"accept", b"*/*"), (NAME, PARENT), (b"tracestate", b"a=1"))
    assert b"tracestate" not in dict(with_trace_context(new, TraceContext(TRACE, SPAN, 1)))


@given(st.lists(st.tuples(st.sampled_from([NAME, b"tracestate"]), st.binary(max_size=80)), max_size=4))
def test_whatever_is_taken_is_written_as_it_can_be_read(headers):
    context = read_trace_context(((NAME, PARENT), *(pair for pair in headers if pair[0] != NAME)))
    assert read_trace_context(with_trace_context(tuple(headers), context)) == context
