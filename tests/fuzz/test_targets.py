"""The fuzz targets over their seeds, and over some mutations of these; ``make fuzz`` goes on from there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS
from tests.properties.cutting import mutated
from tests.support.examples import examples
from tests.support.series import series

SEEDS = seeds()


@series("name", TARGETS)
def test_seeds(name):
    for seed in SEEDS[name]:
        TARGETS[name](seed)


@pytest.mark.parametrize("name", TARGETS)
@examples(60)
@given(st.data())
def test_mutations(name, data):
    TARGETS[name](data.draw(st.sampled_from(SEEDS[name]).flatmap(lambda seed: mutated(seed, 5))))
