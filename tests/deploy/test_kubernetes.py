"""The manifests for Kubernetes: valid by its schemas, at one with the shim's settings and with themselves."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shim.app.metrics import render_metrics
from shim.observe.snapshot import Snapshot
from shim.server.addresses import TcpAddress
from shim.spool.space import Space
from tests.deploy.rendering import CHART, KUBERNETES, Rendering, claimed
from tests.deploy.tools import Document, Tools
from tests.support.client import LAST, Client, chunk, head
from tests.support.shim import ROOT, START, Shim, free_port
from tests.support.wire import eventually

pytestmark = pytest.mark.servers

VERSIONS = ("1.27", "1.37")
"""The oldest that Chart.yaml names, and the newest that there are schemas for."""
NODE = Space(total=500 << 30, free=400 << 30)


@pytest.fixture(params=Rendering.NAMES)
def rendering(request: pytest.FixtureRequest, renderings: dict[str, Rendering]) -> Rendering:
    return renderings[request.param]


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_field(
    tools: Tools, renderings: dict[str, Rendering], tmp_path: Path, version: str
):
    files = [tmp_path / f"{name}.yaml" for name in renderings]
    for file, made in zip(files, renderings.values(), strict=True):
        file.write_text(made.text)
    # One process for all: it takes a second to start.
    told = tools.run("kubernetes-validate", "--strict", "--kubernetes-version", version, *files)
    assert told.count(" passed for resource ") == sum(len(made.documents) for made in renderings.values())


def test_the_chart_is_well_made(tools: Tools):
    tools.run("helm", "lint", "--strict", CHART)


@pytest.mark.parametrize("wrong", [
    "spool.sizeGiB=1", "upstream.servers={ftp://glance}", "replicas=0", "upstream.maxInfligt=3",
])  # fmt: skip
def test_the_chart_refuses_wrong_values(tools: Tools, wrong: str):
    told = tools.run("helm", "template", "cloud", CHART, "--set", wrong, fails=True)
    assert "don't meet the specifications of the schema" in told


def test_the_shim_takes_the_configuration(rendering: Rendering, tmp_path: Path):
    settings = rendering.settings(tmp_path)
    [listen], [admin] = settings.server.listen, settings.admin.listen
    assert isinstance(listen, TcpAddress)
    assert isinstance(admin, TcpAddress)
    assert (listen.port, admin.port) == (rendering.port("http"), rendering.port("admin"))
    # Clients and the kubelet come to the pod's address.
    assert not listen.is_loopback
    assert not admin.is_loopback
    # Only whether it gets requests hangs on Glance: one outage must not restart every shim.
    probes = {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    for probe, path in probes.items():
        assert rendering.container[probe]["httpGet"] == {"path": path, "port": "admin"}


def test_the_spool_fits_its_volume(rendering: Rendering, tmp_path: Path):
    spool = rendering.settings(tmp_path).spool
    volume = rendering.volume(str(spool.directory))
    assert isinstance(spool.max_total, int)
    assert 0 < spool.max_total < claimed(volume)
    if "emptyDir" in volume:
        # The kubelet evicts from 10 % of the node's disk on.
        assert not isinstance(spool.min_free, int)
        assert spool.min_free.of(NODE.total) > NODE.total / 10
    state = rendering.settings(tmp_path).server.state_directory
    assert state is not None
    # The volume itself is its group's: what is in it the shim makes for itself.
    assert rendering.volume(str(state.parent))["emptyDir"]["medium"] == "Memory"


def test_the_pod_lives_as_long_as_its_uploads(rendering: Rendering, tmp_path: Path):
    timeouts = rendering.settings(tmp_path).timeouts
    grace = rendering.pod["spec"]["terminationGracePeriodSeconds"]
    assert grace >= timeouts.drain_delay + timeouts.drain + 30


def test_the_shim_may_do_little(rendering: Rendering):
    pod, container = rendering.pod["spec"].get("securityContext", {}), rendering.container["securityContext"]
    both = pod | container
    assert both["runAsNonRoot"] is True
    assert both["runAsUser"] > 0
    assert both["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["allowPrivilegeEscalation"] is False
    assert container["readOnlyRootFilesystem"] is True
    assert container["capabilities"] == {"drop": ["ALL"]}


def test_every_selector_means_the_pod_and_no_other(rendering: Rendering):
    labels = rendering.pod["metadata"]["labels"]
    for selector in selectors(rendering):
        assert selector, "an empty selector takes every pod of the namespace"
        assert selector.items() <= labels.items()
    for policy in rendering.of("NetworkPolicy"):
        names = [peer["podSelector"] for rule in policy["spec"]["egress"] for peer in rule.get("to", ())]
        # DNS is not one of our pods: kustomize likes to put labels of ours here.
        assert names == [{"matchLabels": {"k8s-app": "kube-dns"}}]


def selectors(rendering: Rendering) -> Iterator[Document]:
    """The labels that each object looks for."""
    yield rendering.one("Deployment")["spec"]["selector"]["matchLabels"]
    for service in rendering.of("Service"):
        yield service["spec"]["selector"]
    for budget in rendering.of("PodDisruptionBudget"):
        yield budget["spec"]["selector"]["matchLabels"]
    for policy in rendering.of("NetworkPolicy"):
        yield policy["spec"]["podSelector"]["matchLabels"]
    for spread in rendering.pod["spec"].get("topologySpreadConstraints", ()):
        yield spread["labelSelector"]["matchLabels"]


def test_metrics_of_the_autoscaler_exist(tools: Tools, renderings: dict[str, Rendering], tmp_path: Path):
    text = (KUBERNETES / "prometheus-adapter.yaml").read_text()
    [[values]] = tools.parse(text)
    rules = {rule["name"]["as"]: rule for rule in values["rules"]["custom"]}
    told = render_metrics(Snapshot(), 1.0, None, [], ready=True).decode()
    exported = set(re.findall(r"^# TYPE (\S+)", told, re.MULTILINE))
    for rule in rules.values():
        used = set(re.findall(r"\b(glance_shim_\w+)", rule["seriesQuery"] + rule["metricsQuery"]))
        assert used <= exported
    for name in ("autoscaled", "helm-other"):
        rendering = renderings[name]
        scaler = rendering.one("HorizontalPodAutoscaler")["spec"]
        assert scaler["scaleTargetRef"]["name"] == rendering.one("Deployment")["metadata"]["name"]
        # Who sets it beside an autoscaler sets it back with every change.
        assert "replicas" not in rendering.one("Deployment")["spec"]
        targets = {
            metric["pods"]["metric"]["name"]: metric["pods"]["target"]["averageValue"]
            for metric in scaler["metrics"]
        }
        assert targets.keys() == rules.keys()
        most = rendering.settings(tmp_path).limits.max_uploads
        assert 1 <= int(targets["glance_shim_uploads"]) <= most
        assert 0 < int(targets["glance_shim_spool_share"].removesuffix("m")) <= 1000


# What the kubelet makes of the pod: root belongs to root and is read-only, volumes are the group's (fsGroup),
# the process has no rights. The project is mounted where any user may go; ports are free ones.
AS_A_POD = """
set -eu
mount -t tmpfs -o mode=755 tmpfs /mnt; mkdir /mnt/project; mount --bind "$PROJECT" /mnt/project
mount -t tmpfs -o mode=755 tmpfs /run; mkdir /run/glance-shim /run/configuration
cp "$CONFIGURATION" /run/configuration/glance-shim.toml; chmod 644 /run/configuration/glance-shim.toml
mount -t tmpfs -o mode=2777,gid=9292 tmpfs /run/glance-shim
mount -t tmpfs -o mode=755 tmpfs /var/lib; mkdir -p /var/lib/glance-shim/spool
mount -t tmpfs -o mode=2777,gid=9292 tmpfs /var/lib/glance-shim/spool
mount -o remount,bind,ro /
cd /mnt/project
exec setpriv --reuid 9292 --regid 9292 --groups 9292 --no-new-privs --bounding-set -all --inh-caps -all \\
    .venv/bin/python -m shim serve --config /run/configuration/glance-shim.toml "$@"
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes mounts")
def test_it_runs_in_what_the_kubelet_makes(renderings: dict[str, Rendering], tmp_path: Path):
    file, port, admin_port = tmp_path / "glance-shim.toml", free_port(), free_port()
    file.write_text(renderings["base"].configuration())
    listen = [
        f'server.listen=["127.0.0.1:{port}"]',
        f"admin.listen=127.0.0.1:{admin_port}",
        "timeouts.drain=1s",
    ]
    settings = [word for setting in [*listen, "timeouts.drain_delay=0s"] for word in ("--set", setting)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", AS_A_POD, "sh", *settings, "--set", "service=none"],
            env=os.environ
            | {"PROJECT": str(ROOT), "CONFIGURATION": str(file), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        with eventually(lambda: connected(port, process), "it serves", START) as client:
            client.send(head("PUT", "/x", "Transfer-Encoding: chunked") + chunk(bytes(8 << 20)))
            # Far over spool.memory_limit: it has a file on the volume, by the group's right.
            eventually(
                lambda: "glance_shim_spool_files 1.0" in asked(admin_port, "/metrics"), "a file", START
            )
        assert asked(admin_port, "/healthz")
        # That Glance is missing is all that it complains of.
        assert "spool" not in asked(admin_port, "/readyz")
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(START)
    assert status == 0, (tmp_path / "log").read_text()


def connected(port: int, process: subprocess.Popen[bytes]) -> Client | None:
    assert process.poll() is None, "it ended instead of serving"
    try:
        return Client(("127.0.0.1", port), START)
    except ConnectionRefusedError:
        return None


def asked(port: int, path: str) -> str:
    """What the admin listener answers."""
    with Client(("127.0.0.1", port), START) as client:
        client.send(head("GET", path, host=f"127.0.0.1:{port}"))
        return client.answer().body.decode()


def test_glance_outlasts_the_shim_beside_it(renderings: dict[str, Rendering], tmp_path: Path):
    """The hook of Glance's container waits until the shim has drained and gone."""
    containers = {entry["name"]: entry for entry in renderings["sidecar"].pod["spec"]["containers"]}
    _, option, script = containers["glance-api"]["lifecycle"]["preStop"]["exec"]["command"]
    settings = {"upstream": f"http://127.0.0.1:{free_port()}", "timeouts.connect_retry": "0s"}
    with Shim(tmp_path, settings, ready=None) as shim, Client(("127.0.0.1", shim.port), START) as client:
        client.send(head("PUT", "/x", "Transfer-Encoding: chunked") + chunk(b"half"))
        eventually(lambda: shim.metric("uploads"), "the upload is under way")
        hook = subprocess.Popen([sys.executable, option, script.replace("9293", str(shim.admin_port))])
        try:
            shim.ask_to_end()
            eventually(lambda: "Draining" in shim.log_text(), "it drains")
            with pytest.raises(subprocess.TimeoutExpired):
                # Longer than the hook's own pause: it has asked again.
                hook.wait(1.2)
            assert shim.running
            client.send(chunk(b"rest") + LAST)
            assert client.answer("PUT").status == 502
            assert shim.wait() == 0
            assert hook.wait(START) == 0
        finally:
            if hook.poll() is None:
                hook.send_signal(signal.SIGKILL)
                hook.wait(START)


def test_glance_alone_is_restarted_without_waiting(renderings: dict[str, Rendering], tmp_path: Path):
    """Its liveness probe has failed, and the shim stays."""
    containers = {entry["name"]: entry for entry in renderings["sidecar"].pod["spec"]["containers"]}
    _, option, script = containers["glance-api"]["lifecycle"]["preStop"]["exec"]["command"]
    with Shim(tmp_path, {"upstream": f"http://127.0.0.1:{free_port()}"}, ready=None) as shim:
        quick = script.replace("9293", str(shim.admin_port)).replace("time.sleep(1)", "time.sleep(0.05)")
        assert subprocess.run([sys.executable, option, quick], check=False, timeout=START).returncode == 0
        assert shim.running
