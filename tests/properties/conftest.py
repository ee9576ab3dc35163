"""Properties run with our own profiles of hypothesis."""

import tests.support.examples  # noqa: F401 - loads the profile
