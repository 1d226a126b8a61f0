"""Settings: made once, explained, checked."""

import itertools
import re
from pathlib import Path

import pytest

from app.cli.config import write_env
from app.cli.config_table import EXAMPLE, README, settings_table, with_table
from app.config import Config

ROOT = Path(__file__).resolve().parents[2]
SETTING = re.compile(r"#?([A-Z][A-Z0-9_]*)=(.*)")


def settings_in_example() -> dict[str, str]:
    lines = EXAMPLE.read_text("utf-8").splitlines()
    return dict(match.groups() for line in lines if (match := SETTING.fullmatch(line)))


def test_the_example_names_exactly_the_settings_that_are_read():
    source = (ROOT / "app" / "config.py").read_text("utf-8")
    read = set(re.findall(r"read\.\w+\(\s*\"([A-Z0-9_]+)\"", source))
    assert len(read) > 40
    only_for_tests = {"SOKONI_FAILPOINT"}
    assert set(settings_in_example()) == read - only_for_tests


def test_the_example_names_no_setting_twice():
    text = EXAMPLE.read_text("utf-8")
    names = [m.group(1) for line in text.splitlines() if (m := SETTING.fullmatch(line))]
    assert sorted(names) == sorted(set(names))


def test_each_setting_has_an_explanation_on_the_line_before():
    lines = EXAMPLE.read_text("utf-8").splitlines()
    for before, line in itertools.pairwise(lines):
        if SETTING.fullmatch(line):
            assert re.fullmatch(r"# .+\.", before), line


def test_the_defaults_in_the_example_are_the_ones_that_hold():
    secrets = {"SECRET_KEY": "s" * 20 + "abcdefghijkl", "JWT_SECRET_KEY": "j" * 20 + "abcdefghijkl"}
    written_out = {**settings_in_example(), **secrets}
    assert Config.from_environment(written_out) == Config.from_environment(secrets)


def test_a_fresh_env_has_secrets_of_its_own_and_passes_the_check(manage, home):
    result = manage("config", "init")
    assert (result.exit_code, result.stderr) == (0, "")
    assert (home / ".env").stat().st_mode & 0o777 == 0o600
    fresh = Config.load(home / ".env")
    assert len(fresh.secret_key) == len(fresh.jwt_secret_key) == 64
    assert fresh.secret_key != fresh.jwt_secret_key
    checked = manage("config", "check")
    assert checked.exit_code == 0
    assert checked.stdout == (
        "The settings are sound: M-Pesa simulator, shortcode 174379, http://127.0.0.1:5000,"
        " SQLite.\n"
    )


def test_two_fresh_envs_share_no_secret(tmp_path):
    for name in ("one", "two"):
        assert write_env(tmp_path / name)
    one, two = (Config.load(tmp_path / name) for name in ("one", "two"))
    assert one.secret_key != two.secret_key
    assert one.jwt_secret_key != two.jwt_secret_key


def test_an_env_that_is_there_is_never_written_over(manage, home):
    (home / ".env").write_text("PORT=5555\n")
    result = manage("config", "init")
    assert result.exit_code == 0
    assert result.stdout == "There is a .env already; it was left as it is.\n"
    assert (home / ".env").read_text() == "PORT=5555\n"


def test_a_link_in_place_of_the_env_is_not_followed(manage, home):
    elsewhere = home / "elsewhere"
    (home / ".env").symlink_to(elsewhere)
    manage("config", "init")
    assert not elsewhere.exists()


def test_every_fault_is_named_at_once_and_the_exit_code_is_2(manage, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "short-and-secret")
    monkeypatch.setenv("PORT", "many")
    monkeypatch.setenv("MPESA_ENV", "moon")
    result = manage("config", "check")
    assert (result.exit_code, result.stdout) == (2, "")
    faults = [line for line in result.stderr.splitlines() if line.startswith("  - ")]
    assert [fault.split()[1] for fault in faults] == [
        "PORT",
        "MPESA_ENV",
        "JWT_SECRET_KEY",
        "SECRET_KEY",
        "There",
    ]
    assert "short-and-secret" not in result.stderr


def test_production_with_a_laptops_settings_is_refused(manage, monkeypatch):
    manage("config", "init")
    monkeypatch.setenv("MPESA_ENV", "production")
    monkeypatch.setenv("PUBLIC_URL", "http://127.0.0.1:5000")
    result = manage("config", "check")
    assert result.exit_code == 2
    assert "MPESA_CONSUMER_KEY is missing." in result.stderr


@pytest.mark.parametrize("command", ["audit", "worker", "web", "run", "routes", "users list"])
def test_no_command_starts_on_settings_that_are_wrong(manage, monkeypatch, home, command):
    monkeypatch.setenv("SECRET_KEY", "short")
    result = manage(*command.split())
    assert (result.exit_code, result.stdout.count("Traceback")) == (2, 0)
    assert "JWT_SECRET_KEY" in result.stderr or "SECRET_KEY" in result.stderr
    assert not (home / "instance").exists()


def test_the_readme_lists_every_setting_as_the_example_does():
    readme = README.read_text("utf-8")
    assert with_table(readme) == readme, "run: python manage.py config table --write"
    for name in settings_in_example():
        assert f"| `{name}` |" in readme


def test_a_readme_without_a_place_for_the_table_is_refused():
    with pytest.raises(ValueError, match="lost the two marks"):
        with_table("# Sokoni\n")


def test_the_table_explains_each_setting_under_its_heading(tmp_path):
    example = tmp_path / "example"
    example.write_text(
        "# A preface.\n\n# Doors. More of it.\n# How many\n# doors.\n#DOORS=2\n# A key.\nKEY=\n\n"
        "# Long ones.\n# Sixty letters.\n#LONG=" + "x" * 60 + "\n"
    )
    assert settings_table(example).splitlines()[2:] == [
        "| **Doors** | | |",
        "| `DOORS` | `2` | How many doors. |",
        "| `KEY` |  | A key. |",
        "| **Long ones** | | |",
        "| `LONG` | `xxxxxxxx…` | Sixty letters. |",
    ]
