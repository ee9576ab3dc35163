"""Debian's nginx from the text of its sites, in the foreground and with all its files in one folder.

The shipped front and the peers are such sites.
"""

import os
from pathlib import Path

NGINX = Path("/usr/sbin/nginx")
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def nginx_command(folder: Path, sites: str) -> list[str | Path]:
    """Write nginx.conf around ``sites`` (what stands inside of ``http``), and give the command line."""
    files = folder / "nginx"
    files.mkdir(exist_ok=True)
    paths = "\n".join(f"    {kind}_temp_path {files}/{kind};" for kind in _TEMPORARY)
    # Started by root, nginx would become a user that cannot enter a test's folder.
    user = "user root;\n" if os.geteuid() == 0 else ""
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"{user}daemon off;\nworker_processes 1;\npid {files}/pid;\nerror_log stderr info;\n"
        f"events {{}}\nhttp {{\n    access_log /dev/stderr;\n{paths}\n{sites}\n}}\n"
    )
    return [NGINX, "-c", configuration, "-e", "stderr"]
