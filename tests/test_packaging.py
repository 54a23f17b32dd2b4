"""What is packaged to run elsewhere keeps up with the code: ports, paths, options, variables, probes."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer
import yaml

from collector.client import DEFAULT_URL, connect
from collector.settings import Settings, load_settings, variable
from lithoscope import app
from tests.collector.receiver.running import run_collector

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PACKAGING = ROOT / "packaging"
UNIT = PACKAGING / "systemd" / "lithoscope.service"
KUBERNETES = PACKAGING / "kubernetes"
UID = 10001
DATA = "/var/lib/lithoscope"
VARIABLES = {variable(name): name for name in Settings.model_fields}
PORTS = {name: Settings.model_fields[name].default.port for name in ("grpc", "http", "query", "dashboard")}


def dockerfile(path: Path = ROOT / "Dockerfile") -> list[tuple[str, str]]:
    """Its instructions with their arguments, in order; lines are joined and comments left out."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    pairs = (line.split(maxsplit=1) for line in joined.splitlines())
    return [(name, " ".join(rest.split())) for name, rest in pairs]


def last(name: str) -> str:
    """The argument of an instruction of the final stage."""
    return [argument for instruction, argument in dockerfile() if instruction == name][-1]


def image_variables() -> dict[str, str]:
    """What the image sets."""
    return dict(pair.split("=", 1) for pair in shlex.split(last("ENV")))


def documents(name: str) -> dict[str, Any]:
    """One YAML file of Kubernetes."""
    found: dict[str, Any] = yaml.safe_load((KUBERNETES / name).read_text())
    return found


def container() -> dict[str, Any]:
    """The collector's container in Kubernetes."""
    found: dict[str, Any] = documents("statefulset.yaml")["spec"]["template"]["spec"]["containers"][0]
    return found


def unit() -> configparser.ConfigParser:
    """The unit; a name that comes twice keeps its last value."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return parser


def parse_command(arguments: list[str]) -> dict[str, Any]:
    """What the command line makes of arguments; wrong ones raise."""
    command: Any = typer.main.get_command(app)
    name, *rest = arguments
    return dict(command.commands[name].make_context(name, rest).params)


def settings_of(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings that variables make; all of them must be settings."""
    own = {name: value for name, value in variables.items() if name.startswith("LITHOSCOPE_")}
    assert own.keys() <= VARIABLES.keys()
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    return load_settings()


def test_the_image_runs_serve_and_asks_its_health(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without root, on the ports it exposes, with its data in the volume and in a folder that it owns."""
    entry, command = json.loads(last("ENTRYPOINT")), json.loads(last("CMD"))
    assert entry == ["lithoscope"]
    parse_command(command)
    health = re.search(r"CMD (\[.*\])$", last("HEALTHCHECK"))
    assert health is not None
    assert parse_command(json.loads(health[1])[1:])["url"] is None
    settings = settings_of(image_variables(), monkeypatch)
    listening = {name: getattr(settings, name) for name in PORTS}
    assert {name: address.port for name, address in listening.items()} == PORTS
    assert {address.host for address in listening.values()} == {"0.0.0.0"}
    assert sorted(map(int, last("EXPOSE").split())) == sorted(PORTS.values())
    assert (str(settings.db.parent), last("VOLUME"), last("WORKDIR")) == (DATA, DATA, DATA)
    assert last("USER") == f"{UID}:{UID}"
    assert f"--owner {UID}" in last("RUN")
    assert not settings.insecure


def test_the_image_is_built_of_everything_that_is_shipped() -> None:
    """Each package of the wheel is copied, let through to the build, and pinned with all extras of a collector."""
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())
    shipped = set(wheel["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"])
    copied = {word for name, argument in dockerfile() if name == "COPY" for word in argument.split()[:-1]}
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert shipped <= copied & let_through
    assert {source for source in copied if not source.startswith(("/", "--"))} <= let_through
    installs = [argument for name, argument in dockerfile() if name == "RUN" and "pip install" in argument]
    (extras,) = re.findall(r'"\.\[(.*)\]"', installs[0])
    of_others = {"ray", "mcp"}  # who works on a file takes the one (240 MB), an assistant starts the other
    assert set(extras.split(",")) == wheel["project"]["optional-dependencies"].keys() - of_others


def test_the_demo_image_installs_what_is_pinned() -> None:
    """And copies what is there."""
    steps = dockerfile(PACKAGING / "demo" / "Dockerfile")
    sources = [argument.split()[0] for name, argument in steps if name == "COPY"]
    assert all((ROOT / source).is_file() for source in sources)
    pinned = (ROOT / "constraints.txt").read_text()
    (install,) = [argument for name, argument in steps if "pip install" in argument]
    assert all(f"{name}==" in pinned for name in install.split() if name.startswith("opentelemetry-"))


def test_compose_publishes_on_this_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The collector asks nobody, so nobody else reaches it; data and health are those of the image."""
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    collector = services["lithoscope"]
    published = [port.rsplit(":", 2) for port in collector["ports"]]
    assert {(host, outside == inside) for host, outside, inside in published} == {("127.0.0.1", True)}
    assert sorted(int(inside) for *_, inside in published) == sorted(PORTS.values())
    assert [volume.split(":")[1] for volume in collector["volumes"]] == [DATA]
    assert settings_of(image_variables() | collector["environment"], monkeypatch).insecure
    for name in ("gateway", "orders", "stock"):
        service = services[name]
        assert (service["command"], service["environment"]["OTEL_SERVICE_NAME"]) == ([name], name)
        endpoint = service["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"]
        assert endpoint == f"http://lithoscope:{PORTS['http']}"
        assert (ROOT / service["build"]["dockerfile"]).is_file()
    assert all(service["read_only"] and service["cap_drop"] == ["ALL"] for service in services.values())


def test_kubernetes_asks_the_ports_and_paths_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes on health, ports by name, variables that are settings, one pod, nothing that it may not have."""
    pod = documents("statefulset.yaml")["spec"]["template"]["spec"]
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    assert sorted(ports.values()) == sorted(PORTS.values())
    service = documents("service.yaml")["spec"]
    assert {port["targetPort"]: port["port"] for port in service["ports"]} == ports
    probes = {name: container()[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "startup": "/healthz",
        "liveness": "/healthz",
        "readiness": "/readyz",
    }
    assert {ports[probe["port"]] for probe in probes.values()} == {PORTS["query"]}
    parse_command(container()["args"])
    given = {item["name"]: item.get("value", "scrypt$2$1$1$AA==$AA==") for item in container()["env"]}
    settings = settings_of(image_variables() | given, monkeypatch)
    mounts = {mount["name"]: mount["mountPath"] for mount in container()["volumeMounts"]}
    assert (str(settings.db.parent), str(settings.keys and settings.keys.parent)) == (mounts["data"], mounts["keys"])
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == UID
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert documents("statefulset.yaml")["spec"]["replicas"] == 1


def test_kubernetes_leaves_room_for_what_the_settings_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database may not fill its volume, and DuckDB's memory is well within the container's."""
    given = {item["name"]: item["value"] for item in container()["env"] if "value" in item}
    settings = settings_of(given, monkeypatch)
    claim = documents("statefulset.yaml")["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"]
    room = int(claim.removesuffix("Gi")) * 1024**3
    assert settings.max_disk is not None
    assert settings.max_disk + settings.log_bytes + settings.queue_bytes < 0.8 * room
    limit = int(container()["resources"]["limits"]["memory"].removesuffix("Gi")) * 1024**3
    assert 2 * int(settings.store_memory.removesuffix("B")) < limit


def test_kustomize_names_every_manifest() -> None:
    """None is forgotten."""
    named = set(documents("kustomization.yaml")["resources"])
    assert named == {file.name for file in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"}


def test_the_unit_starts_what_there_is() -> None:
    """Its options are those of serve; its folder and its user are its own."""
    service = unit()["Service"]
    binary, *arguments = shlex.split(service["ExecStart"])
    assert Path(binary).name == "lithoscope"
    given = parse_command([argument.replace("%S", "/var/lib").replace("%E", "/etc") for argument in arguments])
    assert (str(given["db"]), str(given["config"])) == (f"{DATA}/lithoscope.duckdb", "/etc/lithoscope/lithoscope.toml")
    assert (service["StateDirectory"], service["WorkingDirectory"]) == ("lithoscope", DATA)
    user = (PACKAGING / "systemd" / "lithoscope.sysusers").read_text().splitlines()[-1].split()
    assert user[1] == service["User"] == service["Group"]
    assert service["RestartPreventExitStatus"] == "2"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd")
def test_systemd_finds_the_unit_sound_and_little_exposed(tmp_path: Path) -> None:
    """It parses, and its exposure is among the least of services that have a network."""
    there = tmp_path / "lithoscope.service"
    text = UNIT.read_text().replace("/opt/lithoscope/bin/lithoscope", sys.executable)
    there.write_text(re.sub(r"(User|Group)=lithoscope", r"\1=root", text))
    verified = subprocess.run(["systemd-analyze", "verify", there], capture_output=True, text=True, check=False)
    own = [line for line in verified.stderr.splitlines() if "lithoscope.service" in line]
    assert (verified.returncode, own) == (0, [])
    security = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(UNIT)]
    checked = subprocess.run(security, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


@contextmanager
def shop_service(role: str, **variables: str) -> Iterator[str]:
    """One of the demo's services as a process; yields its URL."""
    command = [sys.executable, str(PACKAGING / "demo" / "shop.py"), role]
    environment = os.environ | {"PORT": "0", "OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_SERVICE_NAME": role, **variables}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().split()[1]}"
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0


def test_the_demo_sends_whole_traces(tmp_path: Path) -> None:
    """Three services, one trace: what `docker compose up` shows."""
    with run_collector(tmp_path) as collector, ExitStack() as stack:
        there = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.http}", "REQUESTS_PER_SECOND": "20"}
        stock = stack.enter_context(shop_service("stock", **there))
        orders = stack.enter_context(shop_service("orders", STOCK_URL=stock, **there))
        stack.enter_context(shop_service("gateway", ORDERS_URL=orders, **there))
        query = "SELECT list_sort(list(DISTINCT service_name)) AS services FROM spans GROUP BY trace_id"
        whole = f"SELECT DISTINCT services FROM ({query}) WHERE len(services) = 3"
        assert collector.rows(whole) == [{"services": ["gateway", "orders", "stock"]}]


# In a mount name space of its own everything can be read and only the data folder can be written. A Python that lives
# where only root may look is shown under the same path.
SEALED = """
set -eu
data=$1 python=$2 holder=$3 hidden=$4
shift 4
mount --bind "$data" "$data"
if [ -n "$hidden" ]; then
    mount --bind "$python" "$holder"
    mount -t tmpfs -o mode=755 none "$hidden"
    mkdir -p "$python"
    mount --bind "$holder" "$python"
    mount -o remount,bind,ro "$hidden"
fi
mount -o remount,bind,ro /
for place in /tmp /var/tmp /dev/shm; do
    if mountpoint -q "$place"; then mount -o remount,bind,ro "$place"; fi
done
exec setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs --bounding-set -all -- "$@"
"""


def sealed(folder: Path, holder: Path, *command: str) -> list[str]:
    """The command, run where nothing but the folder can be written."""
    python = Path(sys.base_prefix).resolve()
    hidden = next((str(parent) for parent in reversed(python.parents) if not parent.stat().st_mode & 1), "")
    return ["unshare", "--mount", "sh", "-c", SEALED, "sh", str(folder), str(python), str(holder), hidden, *command]


@pytest.fixture
def anywhere(tmp_path: Path) -> Path:
    """A folder of the image's user, under folders that anybody may pass."""
    if os.geteuid() or not all(map(shutil.which, ("unshare", "setpriv", "mountpoint"))):
        pytest.skip("needs root and util-linux")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("root may not mount here")
    if any(not parent.stat().st_mode & 1 for parent in (Path(sys.prefix) / "bin").resolve().parents):
        pytest.skip("the environment lives where only its owner may look")
    folder = tmp_path / "data"
    folder.mkdir()
    os.chown(folder, UID, UID)
    for parent in folder.parents:
        if "pytest-" in str(parent):
            parent.chmod(0o755)
    return folder


def test_it_runs_as_in_the_image(anywhere: Path, tmp_path: Path) -> None:
    """A stranger to the machine, without a home, with the image's variables, who may write to its folder alone."""
    own = image_variables() | {variable(name): "127.0.0.1:0" for name in PORTS}
    own |= {
        "LITHOSCOPE_DB": str(anywhere / "lithoscope.duckdb"),
        "PATH": f"{Path(sys.executable).parent}:{own['PATH']}",
    }
    own |= {name: os.environ[name] for name in ("PYTHONPATH", "PYTHONSAFEPATH") if name in os.environ}
    (tmp_path / "holder").mkdir()
    serve = (sys.executable, "-m", "lithoscope", *json.loads(last("CMD")))
    command = sealed(anywhere, tmp_path / "holder", *serve)
    with (tmp_path / "stderr").open("wb") as stderr:
        process = subprocess.Popen(command, env=own, cwd="/", stdout=subprocess.PIPE, stderr=stderr, text=True)
    with process:
        assert process.stdout is not None
        try:
            lines = [process.stdout.readline() for _ in PORTS]
            assert all(lines), (tmp_path / "stderr").read_text()
            addresses = dict(line.split() for line in lines)
            asked = (sys.executable, "-m", "lithoscope", *json.loads(last("HEALTHCHECK").partition("CMD ")[2])[1:])
            health = own | {"LITHOSCOPE_QUERY": addresses["query"]}
            said = subprocess.run(asked, env=health, cwd="/", capture_output=True, text=True, check=False)
            assert (said.stdout, said.stderr, said.returncode) == ("ready\n", "", 0)
            assert connect(f"http://{addresses['query']}").sql("SELECT 1 AS one").to_dicts() == [{"one": 1}]
        finally:
            process.terminate()
            assert process.wait(60) == 0
    assert {json.loads(line)["level"] for line in (tmp_path / "stderr").read_text().splitlines()} <= {"info"}
    assert {file.stat().st_uid for file in anywhere.iterdir()} == {UID}


def test_health_asks_where_serve_listens() -> None:
    """The default of one is that of the other."""
    assert f"http://{Settings.model_fields['query'].default}" == DEFAULT_URL
