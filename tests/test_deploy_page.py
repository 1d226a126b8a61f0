"""docs/deploy.md: what is to be pasted is there, can be read, and where it can be run is run."""

import os
import re
import shutil
import stat
import subprocess
import sys

import click
import pytest
from opentelemetry.sdk import environment_variables

from app.cli import main
from drill.processes import ROOT
from tests.postgres import create_database

PAGE = (ROOT / "docs" / "deploy.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PASSWORD = "Correct horse 12"
NOT_HERE = re.compile(r"/pip\" install|nano |systemctl|curl |^for |^    |^done|chmod 0640")
"""Lines that need the internet, a person, or a machine of their own."""

_RUNUSER = """#!/bin/sh
while [ "$1" != "--" ]; do shift; done
shift
exec "$@"
"""
_PYTHON = """#!/bin/sh
[ "$1 $2" = "-m venv" ] || exit 1
ln -s {venv} "$3"
"""


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_a_shell_can_read_each_block(block):
    told = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr


def test_the_page_names_commands_and_files_that_exist():
    commands = set(re.findall(r"manage\.py\"? ((?:[a-z]+ ?){1,2})", "\n".join(BLOCKS)))
    assert len(commands) > 5
    for words in commands:
        found: click.Command | None = main
        for word in words.split():
            if isinstance(found, click.Group):
                found = found.get_command(click.Context(found), word)
                assert found is not None, words
    for path in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (ROOT / "docs" / path).exists(), path
    for path in re.findall(r"/srv/sokoni/current/(deploy/[\w./*-]+)", PAGE):
        assert list(ROOT.glob(path)), path


def test_every_setting_that_the_page_names_is_one():
    known = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    beside = {"SOURCE", "VERSION", "RELEASE", "SHOP_DOMAIN", "POSTGRES_PASSWORD", "SIGTERM", "JSON"}
    beside |= {"DATE", "HTTPS"}
    known |= {name for name in vars(environment_variables) if name.startswith("OTEL_")}
    named = set(re.findall(r"\b[A-Z]{2,}(?:_[A-Z]+)+\b", PAGE)) - beside
    assert named <= known


@pytest.fixture
def house(tmp_path, postgres_uri, worker_id):
    """A folder in which the page's paths are found, and a repository to take the shop from."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no checkout of git")
    tools = tmp_path / "tools"
    tools.mkdir()
    scripts = {"runuser": _RUNUSER, "python3": _PYTHON.format(venv=sys.prefix)}
    for name, text in scripts.items():
        (tools / name).write_text(text)
        (tools / name).chmod(stat.S_IRWXU)
    source = tmp_path / "source"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file() and not name.startswith((".venv", "docs/screenshots", "tests/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@shop.example"]
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *command], cwd=source, check=True)
    for folder in ("instance", "backups", "releases"):
        (tmp_path / "srv" / folder).mkdir(parents=True)
    url = create_database(postgres_uri, f"deploy_{worker_id}")
    return tmp_path, url.replace("postgresql+psycopg", "postgresql")


def test_what_is_pasted_makes_a_shop_and_later_updates_it(house):
    folder, url = house
    environment = {"PATH": f"{folder}/tools:{os.environ['PATH']}", "HOME": str(folder)}

    def paste(block: str) -> str:
        for old, new in (
            ("/srv/sokoni", f"{folder}/srv"),
            ("https://example.org/sokoni.git", f"file://{folder}/source"),
            ("postgresql://sokoni@/sokoni?host=/var/run/postgresql", url),
            ("MPESA_ENV=sandbox", "MPESA_ENV=simulator"),
        ):
            block = block.replace(old, new)
        lines = [line for line in block.splitlines() if not NOT_HERE.search(line)]
        script = folder / "pasted.sh"
        script.write_text("set -eu\n" + "\n".join(lines) + "\n")
        told = subprocess.run(
            ["bash", str(script)],
            input=f"{PASSWORD}\n{PASSWORD}\n",
            start_new_session=True,  # no terminal to ask at
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert told.returncode == 0, told.stdout + told.stderr
        return told.stdout

    install, settle = (block for block in BLOCKS[2:4])
    assert "git clone" in install
    assert "config init" in settle
    paste(install)
    first = (folder / "srv" / "current").resolve()
    assert (first / "manage.py").exists()
    paste(settle)
    shown = subprocess.run(
        [f"{first}/.venv/bin/python", f"{first}/manage.py", "users", "list"],
        cwd=folder / "srv",
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "amina@shop.example" in shown

    (update,) = (block for block in BLOCKS if "sokoni-web@$port" in block)
    paste(update.replace("date +%Y%m%d-%H%M%S", "echo later"))
    assert (folder / "srv" / "current").resolve() == folder / "srv" / "releases" / "later"
