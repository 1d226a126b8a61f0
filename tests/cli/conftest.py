import os

import pytest
from click.testing import CliRunner

from app.cli import main
from app.config import Config
from tests.factories import CHEAP_HASH

SETTINGS = {
    "SECRET_KEY": "cli-secret-0123456789-abcdefghijklmnopqrstuvwxyz",
    "JWT_SECRET_KEY": "cli-jwt-secret-9876543210-zyxwvutsrqponmlkjihgf",
    "PASSWORD_HASH_METHOD": CHEAP_HASH,
    "MPESA_BASE_URL": "http://127.0.0.1:1",  # nobody answers there
}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty current folder, and none of our settings in the environment."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in Config.__dataclass_fields__:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("SIMULATOR_PORT", raising=False)
    return folder


@pytest.fixture
def manage(home):
    """Runs one command as a person would, and answers click's result."""
    runner = CliRunner()

    def run(*arguments, **options):
        result = runner.invoke(main, list(arguments), **options)
        unexpected = result.exception and not isinstance(result.exception, SystemExit)
        if unexpected:
            raise result.exception
        return result

    return run


@pytest.fixture
def shop(home, database, database_url, monkeypatch):
    """The settings of a shop on an empty, migrated database of each kind in turn."""
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("QUEUE_URL", f"sqlite:///{home}/queue.db")
    return database


@pytest.fixture
def bare_environment(tmp_path):
    """What a real process needs of ours, and none of our settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1"}
