"""The files of deploy/: they name what exists, and are read by those that they are for."""

import json
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from app.config import Config
from drill.processes import ROOT
from tests.controllers.test_metrics import HEADERS, TOKEN

DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
FIGURE = re.compile(r"\bsokoni_\w+")
_KNOWN_KEYS = {
    "build", "cap_drop", "command", "depends_on", "environment", "env_file", "expose",
    "healthcheck", "image", "ports", "read_only", "restart", "security_opt", "shm_size",
    "stop_grace_period", "tmpfs", "volumes",
}  # fmt: skip


@pytest.fixture
def database_kind():
    return "sqlite"


@pytest.fixture
def exported(make_app) -> set[str]:
    """Every name that /metrics shows."""
    client = make_app(metrics_token=TOKEN).test_client()
    client.get("/api/items")
    client.get("/api/nothing")
    text = client.get("/metrics", headers=HEADERS).text
    lines = (line for line in text.splitlines() if line)
    return {line.split()[2] if line[0] == "#" else FIGURE.match(line)[0] for line in lines}


def expressions() -> list[str]:
    dashboard = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
    rules = yaml.safe_load((DEPLOY / "alerts.yml").read_text())
    return [
        *[target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])],
        *[rule["expr"] for group in rules["groups"] for rule in group["rules"]],
    ]


def test_the_dashboard_and_the_alerts_name_figures_that_are_shown(exported):
    named = {name for expression in expressions() for name in FIGURE.findall(expression)}
    assert len(named) > 15
    assert named <= exported


def test_every_figure_is_on_the_dashboard(exported):
    dashboard = (DEPLOY / "grafana-dashboard.json").read_text()
    shown = set(FIGURE.findall(dashboard))
    left_out = {
        name
        for name in exported
        if re.sub(r"_(bucket|sum|count|total|created)$", "", name)
        not in {re.sub(r"_(bucket|sum|count|total)$", "", one) for one in shown}
    }
    assert left_out <= {"sokoni_inbox_unread_oldest_seconds"}  # an alert has it


def test_what_somebody_is_woken_for_is_there():
    rules = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"][0]["rules"]
    names = {rule["alert"] for rule in rules}
    assert {"MoneyWaits", "WorkerDead", "InboxOld", "ServerErrors", "SentAway"} <= names
    for rule in rules:
        assert set(rule["annotations"]) == {"summary", "what"}, rule["alert"]
        assert rule["labels"]["severity"] in {"now", "morning"}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_understands_each_unit(unit, tmp_path):
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd is not installed")
    for one in UNITS:
        shutil.copy(one, tmp_path)
    for name in ("sokoni-web@5000", "sokoni-web@5001", "sokoni-worker@1"):
        template = tmp_path / f"{name.partition('@')[0]}@.service"
        shutil.copy(template, tmp_path / f"{name}.service")
    told = subprocess.run(
        [verify, "verify", str(tmp_path / unit.name.replace("@.", "@5000."))]
        if unit.name.startswith("sokoni-web@")
        else [verify, "verify", str(tmp_path / unit.name.replace("@.", "@1."))],
        env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [
        line
        for line in told.stderr.splitlines()
        if "sokoni" in line and "is not executable" not in line  # nothing is installed here
    ]
    assert ours == []


def test_the_units_run_what_there_is():
    started = [
        line.split("manage.py ")[1]
        for unit in UNITS
        for line in unit.read_text().splitlines()
        if line.startswith("ExecStart=") and "manage.py" in line
    ]
    assert sorted(started) == ["backup --to /srv/sokoni/backups --keep 14", "web", "worker"]


def compose() -> dict:
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


def test_the_containers_are_wired_to_one_another():
    services = compose()["services"]
    assert set(services) == {"caddy", "migrate", "postgres", "redis", "web", "worker"}
    volumes = set(compose()["volumes"])
    for name, service in services.items():
        assert set(service) <= _KNOWN_KEYS, name
        assert set(service.get("depends_on", ())) <= set(services), name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in volumes or (ROOT / source).exists(), volume
    assert services["caddy"]["environment"]["SHOP_SERVERS"] == "web:5000"


def test_the_shop_starts_with_what_its_container_is_told():
    told = compose()["services"]["web"]["environment"]
    filled = {name: re.sub(r"\$\{(\w+):\?\}", "given", str(value)) for name, value in told.items()}
    config = Config.from_environment(
        {
            **filled,
            "SECRET_KEY": "test-secret-0123456789-abcdefghijklmnopqrstuvwxyz",
            "JWT_SECRET_KEY": "test-jwt-secret-9876543210-zyxwvutsrqponmlkjihgf",
        }
    )
    assert config.database_url == "postgresql+psycopg://sokoni:given@postgres/sokoni"
    assert config.rate_limit_storage_url == config.queue_url == "redis://redis:6379/0"
    assert (config.web_workers, config.trusted_proxy_count) == (2, 1)
    assert config.is_https


def steps() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines()]
    return [tuple(line.split(None, 1)) for line in lines if line and line[0] != "#"]


def test_the_image_copies_what_there_is_and_its_context_lets_it_through():
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    copied = set()
    for name, rest in steps():
        if name == "COPY" and "--from" not in rest:
            copied |= set(rest.split()[:-1])
    assert copied == allowed
    assert all((ROOT / one).exists() for one in copied)


def test_the_image_is_built_in_two_stages_and_does_not_run_as_root():
    names = [name for name, _ in steps()]
    assert names.count("FROM") == 2
    assert ("USER", "sokoni") in steps()
    assert names.index("ENTRYPOINT") > names.index("USER") > names.index("RUN")
    assert "HEALTHCHECK" in names


def test_what_the_image_copies_is_all_that_the_shop_needs(tmp_path):
    """Its steps by hand: the same files alone, with the requirements that are installed here."""
    for name, rest in steps():
        if name == "COPY" and "--from" not in rest:
            *sources, target = rest.split()
            for source in sources:
                place = tmp_path / target.lstrip("/").removeprefix("sokoni/")
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, place, dirs_exist_ok=True)
                elif source != "requirements.txt":
                    place = place if target.endswith(".py") else place / source
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(ROOT / source, place)
    data = tmp_path / "data"
    data.mkdir()
    environment = {
        "PATH": "/usr/bin:/bin",
        "SECRET_KEY": "test-secret-0123456789-abcdefghijklmnopqrstuvwxyz",
        "JWT_SECRET_KEY": "test-jwt-secret-9876543210-zyxwvutsrqponmlkjihgf",
    }
    for command in (["db", "upgrade"], ["seed"], ["config", "check"], ["routes"]):
        told = subprocess.run(
            [sys.executable, str(tmp_path / "manage.py"), *command],
            cwd=data,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert told.returncode == 0, told.stderr
    assert (data / "instance" / "sokoni.db").exists()
