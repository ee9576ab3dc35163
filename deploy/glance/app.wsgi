"""What mod_wsgi loads: Glance, with what it takes from its surroundings elsewhere set here.

Apache's configuration names this file in WSGIScriptAlias.
"""

import os
import sys

# POST /v2/tasks and image conversion start Python programs with it. mod_wsgi knows it from python-home; with
# python-path alone it would be the system's Python, which has none of Glance's packages, and they would fail.
sys.executable = "/opt/glance/bin/python"
os.environ["OS_GLANCE_CONFIG_DIR"] = "/etc/glance"

from glance.wsgi.api import application  # noqa: E402, F401 - Glance reads both while it is imported
