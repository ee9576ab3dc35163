"""Runs one scenario: opens it, has its participants contest, and judges what came of it.

``__main__`` runs them all.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.arena import Arena, open_arena
from benchmarks.engine import NotMeasured
from benchmarks.engine.contest import Contest, Outcome
from benchmarks.engine.settling import settle
from benchmarks.engine.verdict import judge
from benchmarks.glance import open_glance
from benchmarks.load.building import Programs
from benchmarks.results import as_result, circumstances
from benchmarks.scenario import Scenario
from shim.demo import DemoError


@dataclass(frozen=True, slots=True)
class Bench:
    """What all scenarios have in common.

    Attributes:
        directory: On whose file system bodies are spooled.
        repetitions: Where a scenario does not say.
        settle: Waits until the machine has come to rest, and says whether it has.
    """

    programs: Programs
    directory: Path
    repetitions: int
    settle: Callable[[], bool] = settle

    def run(self, scenario: Scenario, tell: Callable[[str], None]) -> dict[str, Any]:
        """One scenario, as results hold it; what cannot be had is told in it, and raises nothing."""
        began = time.monotonic()
        arena, outcome = Arena([], {}, []), Outcome()
        try:
            with self._open(scenario) as arena:
                repetitions = min(self.repetitions, scenario.repetitions or self.repetitions)
                outcome = Contest(arena.participants, repetitions, self.settle, tell).run()
        except (NotMeasured, DemoError) as reason:
            arena.absent |= dict.fromkeys(scenario.participants, str(reason))
        rows = judge(scenario.targets, outcome, scenario.twins, arena.absent)
        result = as_result(scenario, outcome, rows, arena.absent, arena.notes)
        seconds = round(time.monotonic() - began)
        return result | {"seconds": seconds, "circumstances": circumstances(self.directory)}

    def _open(self, scenario: Scenario) -> AbstractContextManager[Arena]:
        if scenario.driver == "glance":
            return open_glance(scenario, self.directory)
        return open_arena(scenario, self.programs, self.directory)
