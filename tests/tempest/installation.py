"""The virtual environment with tempest, OpenStack's test suite, beside those of Glance and keystone.

It is installed by the first run, in some ten seconds.
"""

from pathlib import Path

from tests.identity.installations import Installation

TEMPEST = Installation("tempest", ("tempest",), Path(__file__).with_name("constraints.txt"))
