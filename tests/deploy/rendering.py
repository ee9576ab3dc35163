"""Manifests as a cluster gets them, and what is asked of them: the pod, its configuration, its volumes."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from shim.config.load import load
from shim.config.settings import Settings
from shim.config.sources import Flags
from tests.deploy.tools import Document, Tools
from tests.support.shim import ROOT

KUBERNETES = ROOT / "deploy" / "kubernetes"
CHART = KUBERNETES / "helm" / "glance-shim"
_VALUES: dict[str, list[Path]] = {
    "helm": [],
    "helm-other": [Path(__file__).with_name("other-values.yaml")],
    "openstack-helm": [KUBERNETES / "openstack-helm.yaml"],
}
_KUSTOMIZE = KUBERNETES / "kustomize"
_SIZES = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}


@dataclass(frozen=True, slots=True)
class Rendering:
    """One way that the manifests are offered.

    Attributes:
        text: All documents, YAML.
        documents: The same, parsed.
    """

    NAMES: ClassVar = ("base", "standalone", "autoscaled", "sidecar", "helm", "helm-other", "openstack-helm")

    text: str
    documents: list[Document]

    def of(self, kind: str) -> list[Document]:
        """All objects of a kind."""
        return [document for document in self.documents if document["kind"] == kind]

    def one(self, kind: str) -> Document:
        """The only object of a kind."""
        [document] = self.of(kind)
        return document

    @property
    def pod(self) -> Document:
        """What the Deployment makes."""
        template: Document = self.one("Deployment")["spec"]["template"]
        return template

    @property
    def container(self) -> Document:
        """The shim's."""
        return next(entry for entry in self.pod["spec"]["containers"] if entry["name"] == "glance-shim")

    def volume(self, path: str) -> Document:
        """The volume that the shim sees at a path."""
        mounts = {mount["mountPath"]: mount["name"] for mount in self.container["volumeMounts"]}
        return next(volume for volume in self.pod["spec"]["volumes"] if volume["name"] == mounts[path])

    def configuration(self) -> str:
        """The TOML that the ConfigMap carries."""
        text: str = self.one("ConfigMap")["data"]["glance-shim.toml"]
        return text

    def settings(self, folder: Path) -> Settings:
        """It, as the shim itself takes it: a fault of it is raised."""
        file = folder / "glance-shim.toml"
        file.write_text(self.configuration())
        return load(file, Flags(), upstream_required=True).settings

    def port(self, name: str) -> int:
        """A port of the shim's container by its name."""
        ports: dict[str, int] = {port["name"]: port["containerPort"] for port in self.container["ports"]}
        return ports[name]


def render_all(tools: Tools) -> dict[str, Rendering]:
    """Have kustomize and helm make all manifests, by their names."""
    texts = [_render(tools, name) for name in Rendering.NAMES]
    parts = zip(texts, tools.parse(*texts), strict=True)
    return dict(zip(Rendering.NAMES, (Rendering(*part) for part in parts), strict=True))


def _render(tools: Tools, name: str) -> str:
    if name in _VALUES:
        chosen = [word for file in _VALUES[name] for word in ("--values", str(file))]
        return tools.run("helm", "template", "cloud", CHART, "--namespace", "openstack", *chosen)
    return tools.run("kubectl", "kustomize", _KUSTOMIZE / ("base" if name == "base" else f"overlays/{name}"))


def quantity(text: str) -> int:
    """Bytes of a Kubernetes quantity with a binary unit."""
    found = re.fullmatch(r"(\d+)([KMGT]i)", text)
    assert found, text
    return int(found[1]) * _SIZES[found[2]]


def claimed(volume: Document) -> int:
    """The bytes that a spool's volume has."""
    if "emptyDir" in volume:
        return quantity(volume["emptyDir"]["sizeLimit"])
    claim: Any = volume["ephemeral"]["volumeClaimTemplate"]["spec"]
    return quantity(claim["resources"]["requests"]["storage"])
