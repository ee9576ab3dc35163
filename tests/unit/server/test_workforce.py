"""The processes of workers as their supervisor hears them; real ones are forked in ``test_supervise``."""

import contextlib

from shim.server.channel import Beat, Mouthpiece, Post, make_line
from shim.server.workforce import Process, Workforce


def test_a_worker_that_has_closed_its_line_wakes_nobody_any_more():
    workforce = Workforce(lambda: 7.0)
    ends = [make_line() for _ in range(2)]
    with contextlib.ExitStack() as stack:
        for number, (ours, theirs) in enumerate(ends):
            stack.enter_context(ours)
            stack.enter_context(theirs)
            # Their processes live on, whatever becomes of the line.
            workforce._processes[number] = Process(0, Mouthpiece(ours), 0.0)
        (ours, theirs), (others, _) = ends
        Post(theirs).tell(Beat(1, 2))
        theirs.close()
        assert workforce.lines == [ours, others], "there is something to hear"
        assert [*workforce.heard()] == [0]
        assert [*workforce.heard()] == []
        assert workforce.lines == [others]
        assert (len(workforce), workforce.load) == (2, Beat(1, 2))
