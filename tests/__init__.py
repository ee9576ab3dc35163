"""The tests: unit beside the rooms, conformance from outside, integration with real servers."""
