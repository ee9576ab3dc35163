"""Commands of the manual that no sandbox runs, each with its reason; one that no page has is a fault."""

import re

from tests.manual.blocks import Command

INSTALLS = "installs from a package index: python -m tests.manual does it, and runs all the rest of the page"
SELF = "make test is what runs this, and make demo and make bench have tests of their own parts"
PROMTOOL = "promtool may be missing: tests/integration/test_alerts.py runs it, or skips itself aloud"
ELSEWHERE = "needs the deployment that the page is about; its files are tried in tests/deploy"
MEASURED = "needs the deployment that is measured: tests/flows/test_bench.py gives all of these options"
DECLARED = "needs an image of one's own: tests/conformance/test_declared.py sends this very header"
HOSTED = "tests/hosting starts each server from this very file, with the paths of a sandbox"

EXCUSED = {
    r"python3 -m venv /opt/glance-shim": INSTALLS,
    r"(/opt/glance-shim/bin/)?pip install .*": INSTALLS,
    r"docker run .* glance-shim": ELSEWHERE,
    r"helm install glance-shim deploy/kubernetes/helm/glance-shim .*": ELSEWHERE,
    r"python3 -m venv ~/glance-shim && ~/glance-shim/bin/pip install \.": INSTALLS,
    r"upstream=.* /etc/glance/glance-uwsgi\.ini\)": ELSEWHERE,
    r"~/glance-shim/bin/glance-shim .*": ELSEWHERE,
    r"glance-shim bench (https://|http\+unix://).*": MEASURED,
    r"curl -T disk\.img .* -H \"Content-Digest: .*": DECLARED,
    r"make (demo|test|bench|bench-quick)\b.*": SELF,
    r"uwsgi --ini /etc/glance/uwsgi\.ini": HOSTED,
    r"gunicorn --config /etc/glance/gunicorn\.conf\.py": HOSTED,
    r"cp apache-mod-wsgi\.conf /etc/apache2/.*": HOSTED,
    r"a2enmod wsgi; a2ensite glance": HOSTED,
    r"cd deploy/prometheus && promtool check rules alerts\.yml": PROMTOOL,
}
"""What a whole command has to match, and why it is not run."""


def excuse(command: Command) -> str | None:
    """The reason why a command is not run; None: it is."""
    return next((reason for text, reason in EXCUSED.items() if re.fullmatch(text, command.text)), None)
