"""Bytes cut into buffers anywhere, and bodies and heads with a few bytes changed: what the wire may bring."""

from hypothesis import strategies as st


@st.composite
def cuts(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """``data`` in pieces, some of them empty."""
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


@st.composite
def mutated(draw: st.DrawFn, data: bytes, most: int = 3) -> bytes:
    """``data`` with up to ``most`` bytes inserted, dropped, doubled or changed, mostly to telling ones."""
    octets = st.one_of(st.sampled_from(b'\r\n\t :;="\\0159afgx,\x00\x0b\x7f\x80\xff'), st.integers(0, 255))
    for _ in range(draw(st.integers(0, most))):
        place = draw(st.integers(0, len(data)))
        octet = bytes([draw(octets)])
        match draw(st.sampled_from(["insert", "drop", "change", "double"])):
            case "insert":
                data = data[:place] + octet + data[place:]
            case "drop":
                data = data[:place] + data[place + 1 :]
            case "change":
                data = data[:place] + octet + data[place + 1 :]
            case "double":
                length = draw(st.integers(1, 8))
                data = data[: place + length] + data[place:]
    return data
