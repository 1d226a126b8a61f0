"""`manage.py doctor` as a person calls it."""

import json
import re
import sys

import click
import pytest

from app.cli import doctor
from app.cli.doctor import manual
from app.cli.doctor.checks import CHECKS, kinds_of
from app.cli.doctor.exam import Check, Group, Line, Report
from app.cli.doctor.findings import Level, fine, skipped
from app.cli.doctor.quoting import Quoter, secrets_of
from app.cli.doctor.show import Screen
from app.config import Config
from tests.cli.conftest import SETTINGS

SECRETS = {
    "SECRET_KEY": "k3Jd8sPq0ZxN7vRt2LmW5yBc9HfG4aEu",
    "JWT_SECRET_KEY": "Qw7Er2Ty9Ui4Op1As6Df3Gh8Jk5Lz0Xc",
}


@pytest.fixture
def alone(shop, monkeypatch):
    """Settings of a shop whose Safaricom and web server are away."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PUBLIC_URL", "http://127.0.0.1:1")
    return shop


def found(result) -> dict[str, list[str]]:
    document = json.loads(result.stdout)
    return {one["name"]: [line["code"] for line in one["findings"]] for one in document["checks"]}


def test_a_shop_that_is_all_alone_gets_a_report_and_no_traceback(manage, alone, database_kind):
    result = manage("doctor", "--json")
    assert result.exit_code == 1
    codes = found(result)
    assert list(codes) == [check.name for check in CHECKS]
    assert codes["gateway"] == ["gateway_unreachable"]
    assert codes["reachable"] == ["address_unreachable"]
    assert codes["worker"] == ["worker_never"]
    assert codes["accounts"] == ["admin_missing"]
    assert codes["migrations"] == codes["limits"] == codes["files"] == ["ok"]
    assert codes["token"] == codes["pair"] == codes["arrival"] == codes["status"] == ["skipped"]
    document = json.loads(result.stdout)
    levels = [line["level"] for one in document["checks"] for line in one["findings"]]
    assert document["faults"] == levels.count("fault") == (4 if database_kind == "sqlite" else 6)
    assert document["warnings"] == levels.count("warning") == 1
    assert result.stderr == ""


def test_without_a_database_everything_else_is_looked_at_all_the_same(manage, alone, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://shop:secret-word@127.0.0.1:1/shop")
    result = manage("doctor", "--json")
    assert result.exit_code == 1
    codes = found(result)
    assert codes["database"] == ["database_unreachable"]
    assert codes["migrations"] == codes["worker"] == codes["accounts"] == ["skipped"]
    assert codes["files"] == codes["address"] == ["ok"]
    assert codes["gateway"] == ["gateway_unreachable"]
    assert "secret-word" not in result.output


def test_before_the_first_migration_there_is_one_fault_of_it(manage, home, monkeypatch):
    manage("config", "init")
    monkeypatch.setenv("MPESA_BASE_URL", SETTINGS["MPESA_BASE_URL"])
    result = manage("doctor", "--json")
    codes = found(result)
    assert (codes["database"], codes["migrations"]) == (["ok"], ["migrations_missing"])
    assert codes["worker"] == codes["backlog"] == codes["limits"] == ["skipped"]
    assert not list(home.glob("instance/*.db*"))


def test_one_check_alone_with_what_it_builds_on(manage, alone):
    result = manage("doctor", "--only", "worker", "--only", "secrets", "--json")
    assert found(result) == {
        "secrets": ["ok"],
        "database": ["ok"],
        "migrations": ["ok"],
        "worker": ["worker_never"],
    }
    sound = manage("doctor", "--only", "migrations")
    assert sound.exit_code == 0
    lines = sound.stdout.splitlines()
    assert lines[0] == "Database"
    assert re.fullmatch(r"  ok       database    \w+ [\d.]+ answers, in \d+ ms\.", lines[1])
    assert lines[2].startswith("  ok       migrations  The tables are as the code expects them")
    assert lines[3:] == ["", "0 faults, 0 warnings, 2 ok, 0 skipped."]


def test_a_fault_is_printed_with_its_code_and_how_to_learn_more(manage, alone):
    result = manage("doctor", "--only", "worker")
    assert result.exit_code == 1
    assert (
        "  FAULT    worker      No worker has ever swept: start one with python manage.py worker,"
        " under a supervisor. [worker_never]\n"
    ) in result.stdout
    assert result.stdout.endswith(
        "\n1 fault, 0 warnings, 2 ok, 0 skipped. What is in brackets is explained in"
        " docs/doctor.md, and by: python manage.py doctor --explain CODE\n"
    )
    assert "\x1b" not in result.output


def test_colours_are_for_terminals_alone(manage, alone):
    assert "\x1b[31mFAULT" in manage("doctor", "--only", "worker", color=True).stdout


def test_settings_that_cannot_be_read_are_the_only_finding(manage, home, monkeypatch):
    monkeypatch.setenv("MPESA_ENV", "production")
    monkeypatch.setenv("MPESA_PASSKEY", "a-passkey-that-nobody-should-see")
    result = manage("doctor")
    assert result.exit_code == 2
    lines = result.stdout.splitlines()
    assert lines[0] == "Settings"
    assert "  FAULT    settings  SECRET_KEY is missing. [settings_refused]" in lines
    assert any("MPESA_SHORTCODE is missing" in line for line in lines)
    assert any("make one with: python manage.py config init" in line for line in lines)
    assert "nobody-should-see" not in result.output
    as_json = manage("doctor", "--json")
    assert as_json.exit_code == 2
    codes = found(as_json)
    assert set(codes.pop("settings")) == {"settings_refused"}
    assert set(map(tuple, codes.values())) == {("skipped",)}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--only", "everything"), "'everything' is not one of"),
        (("--phone", "12345"), "Not a Kenyan mobile number."),
        (("--explain", "nothing"), "No check says nothing. The codes: settings_refused,"),
        (("--fast",), "No such option"),
    ],
)
def test_wrong_usage_is_one_sentence(manage, alone, arguments, words):
    result = manage("doctor", *arguments)
    assert (result.exit_code, words in result.stderr, result.stdout) == (2, True, "")


# --- a phone that may ring ---


@pytest.fixture
def wishes(monkeypatch):
    """What the examination was allowed to do."""
    noted = []

    def note(_config, _checks, wishes, *, wants_json):
        noted.append(wishes)
        return []

    monkeypatch.setattr(doctor, "_examine", note)
    return noted


def test_nobody_is_rung_without_a_yes(manage, alone, wishes):
    asked = manage("doctor", "--phone", "0712 345 678", input="n\n")
    assert asked.exit_code == 0
    assert asked.stderr.startswith(
        "Ring 2547****678 and ask for KES 1 (M-Pesa simulator)? It is charged if its owner"
        " approves. [y/N]:"
    )
    assert manage("doctor", "--phone", "0712345678", input="").exit_code == 1
    manage("doctor", "--phone", "0712345678", input="y\n")
    manage("doctor", "--phone", "0712345678", "--yes", "--balance")
    manage("doctor")
    assert [(one.phone, one.balance) for one in wishes] == [
        (None, False),
        ("254712345678", False),
        ("254712345678", True),
        (None, False),
    ]


def test_in_production_the_question_says_that_the_money_is_real(manage, alone, wishes, monkeypatch):
    for name, value in {
        "MPESA_ENV": "production",
        "MPESA_BASE_URL": "https://api.safaricom.co.ke",
        "MPESA_CONSUMER_KEY": "key-of-our-own",
        "MPESA_CONSUMER_SECRET": "secret-of-our-own",
        "MPESA_SHORTCODE": "600123",
        "MPESA_PASSKEY": "passkey-of-our-own",
        "PUBLIC_URL": "https://duka.co.ke",
        "PASSWORD_HASH_METHOD": "scrypt:32768:8:1",
    }.items():
        monkeypatch.setenv(name, value)
    result = manage("doctor", "--phone", "0712345678", input="y\n")
    assert "ask for KES 1 (real money)?" in result.stderr
    assert [one.phone for one in wishes] == ["254712345678"]


# --- what is hidden ---


def test_every_secret_of_the_settings_is_hidden_wherever_it_stands():
    config = Config.from_environment(
        {
            **SECRETS,
            "DATABASE_URL": "postgresql://shop:word%2Dof-database@db/shop",
            "QUEUE_URL": "redis://:word-of-redis@db/0",
            "MEDIA_URL": "s3://key:word-of-bucket@bucket",
            "RATE_LIMIT_STORAGE_URL": "redis://:word-of-limits@db/1",
            "MPESA_CONSUMER_KEY": "a-consumer-key",
            "MPESA_CONSUMER_SECRET": "a-consumer-secret",
            "MPESA_PASSKEY": "a-passkey",
            "MPESA_INITIATOR_PASSWORD": "an-initiators-password",
        }
    )
    secrets = [secret for secret in secrets_of(config) if secret]
    assert len(set(secrets)) == 12
    assert {"word%2Dof-database", "word-of-database", "word-of-bucket"} <= set(secrets)
    quoter = Quoter(secrets_of(config))
    for secret in secrets:
        assert quoter.quote(f"It said: {secret}!") == "It said: [hidden]!"
    assert quoter.quote("postgresql://shop:other@db") == "postgresql://shop:[hidden]@db"
    assert quoter.quote("MPESA_ENV is simulator") == "MPESA_ENV is simulator"
    assert quoter.quote("a\x1b[31m red\nline\x00") == "a [31m red line"
    assert quoter.quote("x" * 500) == "x" * 199 + "…"


# --- help and manual ---


def test_the_help_lists_every_check(manage):
    text = " ".join(manage("doctor", "--help").stdout.split())
    for check in CHECKS:
        assert f" {check.name} {check.about}" in text


def test_a_code_is_explained(manage):
    result = manage("doctor", "--explain", "passkey_wrong")
    assert result.exit_code == 0
    assert result.stdout.startswith(
        "passkey_wrong: fault\n\nMPESA_PASSKEY does not belong to shortcode <shortcode>:"
    )
    assert "\n\nCause: " in result.stdout
    assert "\n\nCure: " in result.stdout


def test_the_manual_says_of_each_finding_what_the_checks_say():
    text = manual.FILE.read_text("utf-8")
    assert manual.with_findings(text) == text, (
        "docs/doctor.md is stale: python manage.py doctor --write-manual"
    )
    for code, kind in kinds_of().items():
        assert text.count(f"**`{code}`**") == 1
        assert kind.cure in text


def test_a_manual_without_its_marks_is_not_written_over():
    with pytest.raises(ValueError, match="lost the two marks"):
        manual.with_findings("nothing")


def test_the_readme_has_one_step_for_it():
    readme = (manual.HOME / "README.md").read_text("utf-8")
    assert readme.count("python manage.py doctor") == 1


# --- a screen that shows what it waits for ---


def test_reports_are_printed_in_order_however_they_end(capsys):
    def report(name, group, finding) -> Report:
        line = Line(finding.code, finding.level_in(production=True), finding.sentence)
        return Report(name, group, (line,), 0.1)

    screen = Screen(["one", "two", "three"])
    screen.ended(report("two", Group.SETTINGS, skipped("not here.")))
    assert capsys.readouterr().out == ""
    screen.ended(report("one", Group.SETTINGS, fine("Well.")))
    screen.ended(report("three", Group.WORK, kinds_of()["worker_never"].found()))
    assert capsys.readouterr().out.splitlines() == [
        "Settings",
        "  ok       one    Well.",
        "  skipped  two    not here.",
        "",
        "Background work",
        (
            "  FAULT    three  No worker has ever swept: start one with python manage.py worker,"
            " under a supervisor. [worker_never]"
        ),
    ]
    screen.say("The prompt is out.")
    assert capsys.readouterr().err == "The prompt is out.\n"


def test_a_terminal_shows_who_is_waited_for_and_gets_lines_that_fit(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("app.cli.doctor.show.time.monotonic", iter([5.0, 5.9, 7.2, 7.3]).__next__)
    screen = Screen(["one"])
    for _ in range(3):
        screen.waiting(["one", "two"])
    assert capsys.readouterr().err == "\r\x1b[K… 2 s: one, two"
    long = fine("A sentence of many words " * 5 + "ends.")
    line = Line(long.code, Level.OK, long.sentence)
    screen.ended(Report("one", Group.SETTINGS, (line,), 0.1))
    screen.close()
    shown = capsys.readouterr()
    assert shown.err == "\r\x1b[K"
    heading, first, *rest = click.unstyle(shown.out).splitlines()
    assert (heading, first[:22]) == ("Settings", "  ok       one  A sent")
    assert max(map(len, (first, *rest))) <= 90
    assert {part[:16] for part in rest} == {" " * 16}


def test_a_check_has_a_time_limit_above_what_it_may_wait_for():
    """Or its own sentence would never be said."""
    limits = {check.name: check.limit_seconds for check in CHECKS}
    assert limits["push"] > 100 + 20
    assert limits["status"] == limits["balance"] > 45 + 15
    assert min(limits.values()) >= 15
    assert isinstance(CHECKS[0], Check)
