"""Exit status 0 when the shim of this container is alive, for HEALTHCHECK.

``python healthcheck.py [PORT [PATH]]``: by default /healthz on the admin listener's port 9293.
"""

import http.client
import sys

# Shorter than HEALTHCHECK's own, so that it is this that tells the reason.
_PATIENCE = 3.0


def is_well(port: int, path: str) -> bool:
    """Whether the answer is 200."""
    # Straight at it: http_proxy in the environment means other hosts.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    finally:
        connection.close()


def main(port: str = "9293", path: str = "/healthz") -> int:
    """Ask, and tell on standard error why not."""
    try:
        return 0 if is_well(int(port), path) else 1
    except (OSError, http.client.HTTPException) as error:
        sys.stderr.write(f"{path} on port {port}: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
