"""Run by tempest's own Python: reads a stream of subunit results, and prints a line of JSON for each test.

It knows nothing of this project; ``runner`` starts it with the stream's file as its only argument.
"""

import json
import sys
from pathlib import Path

import subunit
import testtools


def main() -> None:
    """Print them all."""
    # What stestr keeps is of subunit's first version, which tells of results as unittest does.
    result = testtools.ExtendedToStreamDecorator(testtools.StreamToDict(show))
    with Path(sys.argv[1]).open("rb") as stream:
        result.startTestRun()
        subunit.ProtocolTestCase(stream).run(result)
        result.stopTestRun()


def show(test: dict) -> None:
    """Print one."""
    began, ended = test["timestamps"]
    details = {name: content.as_text() for name, content in test["details"].items() if is_text(content)}
    verdict = {
        "id": test["id"],
        "status": test["status"],
        "seconds": (ended - began).total_seconds() if began and ended else 0.0,
        "reason": details.get("reason", ""),
        "details": "\n".join(details.values()),
    }
    sys.stdout.write(json.dumps(verdict) + "\n")


def is_text(content) -> bool:
    """Whether an attachment can be read."""
    return content.content_type.type == "text"


if __name__ == "__main__":
    main()
