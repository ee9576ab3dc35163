"""Scenario files: how they are read, what is a fault, and that the shipped ones are right."""

import pytest

from benchmarks.peers.kinds import KINDS
from benchmarks.scenario import ScenarioFault, load_all, merge, parse_scenario, read_scenario
from tests.support.series import series

WHOLE = {
    "title": "{size} in {chunk}",
    "means": "what\n it says",
    "participants": ["shim", "nginx-tuned", "nginx-tuned-again"],
    "load": {"mode": "up", "size": "1GiB", "chunk": "64KiB"},
    "targets": [
        {"metric": "cpu", "of": "shim", "against": "nginx-tuned", "at_most": 0.9},
        {"metric": "memory", "of": "shim", "at_most": "60MiB"},
    ],
    "quick": {"participants": ["shim"], "load": {"size": "16MiB"}},
}


def test_parse():
    scenario = parse_scenario("x", WHOLE)
    assert (scenario.title, scenario.means) == ("1 GiB in 64 KiB", "what it says")
    assert (scenario.load.size, scenario.load.chunk) == (1024**3, 65536)
    assert scenario.twins == ("nginx-tuned", "nginx-tuned-again")
    assert [target.at_most for target in scenario.targets] == [0.9, 60.0 * 1024**2]


def test_quick_has_its_own_sizes_and_participants_and_their_targets():
    scenario = parse_scenario("x", WHOLE, quick=True)
    assert (scenario.title, scenario.load.chunk) == ("16 MiB in 64 KiB", 65536)
    assert scenario.participants == ("shim",)
    assert [target.metric for target in scenario.targets] == ["memory"]
    assert scenario.twins is None


@series(
    "change",
    [
        {"load": {"mode": "sideways"}},
        {"load": {"mode": "up", "size": "1GB"}},
        {"load": {"mode": "up", "pace": 5}},
        {"driver": "horse"},
        {"colour": "red"},
        {"targets": [{"metric": "cpu", "of": "apache"}]},
        {"targets": [{"metric": "cpu"}]},
    ],
)
def test_faults(change):
    with pytest.raises((TypeError, ValueError)):
        parse_scenario("x", {**WHOLE, **change})


def test_a_fault_names_its_file(tmp_path):
    file = tmp_path / "10-broken.toml"
    file.write_text('title = "x"\n')
    with pytest.raises(ScenarioFault, match=r"10-broken\.toml: KeyError"):
        read_scenario(file)


def test_merge_reaches_into_tables():
    assert merge({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 9}, "d": {}}) == {
        "a": {"b": 9, "c": 2},
        "d": {},
    }


@pytest.mark.parametrize("quick", [False, True])
def test_shipped_scenarios_name_known_participants_and_have_a_target(quick):
    scenarios = load_all(quick=quick)
    assert len(scenarios) > 3
    for scenario in scenarios:
        assert scenario.targets, scenario.name
        # Those of the scenario with Glance have names of their own.
        if scenario.driver != "glance":
            unknown = {name.removesuffix("-again") for name in scenario.participants} - set(KINDS)
            assert not unknown, scenario.name
