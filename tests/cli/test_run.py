"""The launcher refuses before it starts anything; that it runs a shop is shown in tests/e2e."""

import socket

import pytest

from tests.cli.conftest import SETTINGS


@pytest.fixture
def taken():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


@pytest.fixture
def free():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        return holder.getsockname()[1]


@pytest.fixture
def settings(monkeypatch):
    monkeypatch.setenv("SECRET_KEY", SETTINGS["SECRET_KEY"])
    monkeypatch.setenv("JWT_SECRET_KEY", SETTINGS["JWT_SECRET_KEY"])


def test_a_taken_web_port_is_one_line_that_names_the_variable(
    manage, home, settings, monkeypatch, taken, free
):
    monkeypatch.setenv("PORT", str(taken))
    monkeypatch.setenv("SIMULATOR_PORT", str(free))
    result = manage("run")
    assert result.exit_code == 1
    assert result.stderr == (
        f"Port {taken} on 127.0.0.1 is in use. Choose another: PORT={taken + 100} make run\n"
    )
    assert not (home / "instance").exists()


def test_both_ports_are_named_when_both_are_taken(manage, home, settings, monkeypatch, taken):
    monkeypatch.setenv("PORT", str(taken))
    monkeypatch.setenv("SIMULATOR_PORT", str(taken))
    result = manage("run")
    assert result.exit_code == 1
    assert [line.rpartition(": ")[2].split("=")[0] for line in result.stderr.splitlines()] == [
        "PORT",
        "SIMULATOR_PORT",
    ]
    assert not (home / "instance").exists()


def test_a_port_that_does_not_exist_is_refused(manage, home, settings, monkeypatch, free):
    monkeypatch.setenv("PORT", "70000")
    monkeypatch.setenv("SIMULATOR_PORT", str(free))
    result = manage("run")
    assert result.exit_code == 2
    assert "PORT must be at most 65535." in result.stderr


def test_an_address_that_is_not_ours_is_refused(manage, home, settings, monkeypatch, free):
    monkeypatch.setenv("HOST", "192.0.2.1")
    monkeypatch.setenv("SIMULATOR_PORT", str(free))
    result = manage("run")
    assert result.exit_code == 1
    assert "on 192.0.2.1 cannot be had (" in result.stderr


def test_settings_that_are_there_are_kept(manage, home, monkeypatch, taken):
    (home / ".env").write_text(
        f"SECRET_KEY={SETTINGS['SECRET_KEY']}\nJWT_SECRET_KEY={SETTINGS['JWT_SECRET_KEY']}\n"
        f"PORT={taken}\nSIMULATOR_PORT={taken}\n"
    )
    before = (home / ".env").read_text()
    assert manage("run").exit_code == 1
    assert (home / ".env").read_text() == before
