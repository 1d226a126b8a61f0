"""Two web hosts and two worker hosts, of which some are cut off, killed and brought back."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from drill.hosts.options import HostsOptions
from drill.processes import ROOT, wait_until
from tests.e2e.proxies import installed

pytestmark = pytest.mark.timeout(400)
NOT_PERMITTED = 2
PATIENCE_SECONDS = 150.0
SEED = 3
COMMAND = [sys.executable, "-m", "drill.hosts", "--short", "--seed", str(SEED)]
TROUBLES = {
    "limits tried at both web hosts",
    "web and worker host cut off",
    "web and worker host killed",
    "Redis cut off, then killed",
    "PostgreSQL stopped and started",
}
NOBODY = ("--reuid=65534", "--regid=65534", "--clear-groups")
READS_ALL = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")


def test_they_hold_what_one_machine_holds(tmp_path):
    told = tmp_path / "report.json"
    ended = subprocess.run(
        [*COMMAND, "--json", str(told)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if ended.returncode == NOT_PERMITTED:
        pytest.skip(ended.stderr.strip())
    assert ended.returncode == 0, ended.stdout + ended.stderr
    report = json.loads(told.read_text())[0]
    assert report["holds"] is True
    assert {check["name"]: check["amount"] for check in report["checks"]} == dict.fromkeys(
        (check["name"] for check in report["checks"]), 0
    )
    assert report["disturbances"] == dict.fromkeys(TROUBLES, 1)
    assert report["moved"]["times"] >= HostsOptions.short(SEED).payments / 2
    assert {
        "limits not held by all hosts",
        "rows that a lost host held",
        "processes that started anew",
        "hosts without 503 and when",
        "idle worker hosts",
        "payments lost",
        "payments counted twice",
        "disturbances that failed",
    } <= {check["name"] for check in report["checks"]}


def test_it_says_why_where_it_is_not_permitted():
    command = COMMAND
    if os.geteuid() == 0:
        command = [installed("setpriv"), *NOBODY, *READS_ALL, *COMMAND]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (NOT_PERMITTED, "")
    assert ended.stderr == (
        "This cannot be tried here. Only root may make network namespaces: run it as root.\n"
    )


def test_root_without_the_right_to_it_is_told_so_as_well():
    if os.geteuid() != 0:
        pytest.skip("only root can give rights away")
    command = [installed("setpriv"), "--bounding-set=-sys_admin", *COMMAND]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (NOT_PERMITTED, "")
    assert ended.stderr == (
        "This cannot be tried here. Namespaces cannot be made here: Operation not permitted.\n"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_it_whatever_ends_it(number, tmp_path):
    command = subprocess.Popen(
        COMMAND,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        wait_until(
            lambda: command.poll() is not None or len(family_of(command.pid)) > 4,
            "a machine is up",
            PATIENCE_SECONDS,
        )
        if command.poll() == NOT_PERMITTED:
            pytest.skip(command.stderr.read().decode().strip())
        family = family_of(command.pid)
        assert network_of(os.getpid()) not in {network_of(pid) for pid in family}
        command.send_signal(number)
        command.communicate()
        wait_until(
            lambda: not any(is_alive(pid) for pid in family),
            "all of them have ended",
            PATIENCE_SECONDS,
        )
        assert command.returncode not in {0, NOT_PERMITTED}
    finally:
        command.kill()
        command.communicate()


def family_of(pid: int) -> list[int]:
    """All that it started, and what those started."""
    found, to_look_at = [], [pid]
    while to_look_at:
        pid = to_look_at.pop()
        try:
            text = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii")
        except OSError:
            continue
        children = [int(one) for one in text.split()]
        found += children
        to_look_at += children
    return found


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def network_of(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    except OSError:
        return "gone"
