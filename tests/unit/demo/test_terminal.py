"""Layout and colours of what the demo prints."""

import io
import shlex

import pytest

from shim.demo.terminal import Terminal, wrap_command


class FakeTerminal(io.StringIO):
    def isatty(self):
        return True


def test_a_pipe_gets_no_colours():
    stream = io.StringIO()
    terminal = Terminal(stream)
    terminal.heading("Part")
    terminal.bad("It failed.")
    assert stream.getvalue() == "\nPart\n\n  => It failed.\n"


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False), ({"TERM": "xterm", "NO_COLOR": "1"}, False)],
)
def test_a_terminal_gets_colours_unless_unwanted(monkeypatch, variables, coloured):
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    stream = FakeTerminal()
    Terminal(stream).good("It worked.")
    assert ("\x1b[32m" in stream.getvalue()) is coloured


def test_facts_stand_in_columns():
    stream = io.StringIO()
    Terminal(stream).facts([("a", "1"), ("long", "2")])
    assert stream.getvalue() == "  a     1\n  long  2\n"


def test_quotes_are_marked():
    stream = io.StringIO()
    Terminal(stream).quote(["one", "two"])
    assert stream.getvalue() == "  | one\n  | two\n"


def test_a_short_command_is_one_line():
    assert wrap_command(["glance", "image-list"]) == ["$ glance image-list"]


def test_a_long_command_can_be_copied_whole():
    words = ["glance", "--url", "http://127.0.0.1:80", "--name", "two words", "--file", "/tmp/" + "x" * 60]
    lines = wrap_command(words, width=60)
    assert len(lines) > 1
    assert all(line.endswith(" \\") for line in lines[:-1])
    joined = "\n".join(lines).removeprefix("$ ").replace("\\\n", "")
    assert shlex.split(joined) == words
    assert not any(line.rstrip(" \\").endswith(("--url", "--name", "--file")) for line in lines)
