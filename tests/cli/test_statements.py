"""M-Pesa's books on the command line: exit codes that a script may rely on."""

import json
from datetime import timedelta

import pytest
from sqlalchemy import select

from app.models import Order, StatementImport, StatementLine
from app.services.receipts import ReceiptFacts
from app.services.receive_money import receive_money
from app.utils.clock import EAT, utc_now
from daraja_simulator.config import SimulatorConfig
from daraja_simulator.server import SimulatorServer
from tests.core import buy, database_snapshot, make_buyer
from tests.factories import make_product
from tests.looking import how_many
from tests.statements import charged, classic, paid, preamble

YESTERDAY = utc_now().astimezone(EAT) - timedelta(days=1)
NOON = YESTERDAY.replace(hour=12, minute=0, second=0, microsecond=0)
DAY = f"{NOON:%d-%m-%Y}"
AT = f"{DAY} 12:00:00"


@pytest.fixture
def order(shop):
    with shop.transaction() as session:
        buyer, boots = make_buyer(session), make_product(session)
        placed = NOON - timedelta(hours=1)
        return buy(session, buyer, (boots, 1), now=placed)


@pytest.fixture
def statement(home):
    def write(*lines, name="statement.csv", **options):
        above = options.get("above", preamble(first=DAY, last=DAY, reported=None))
        (home / name).write_bytes(classic(*lines, above=above))
        return name

    return write


def test_a_statement_is_brought_in(manage, shop, order, statement):
    path = statement(charged(at=AT), paid(account=order.number, at=AT))
    result = manage("payments", "import-statement", path)

    assert (result.exit_code, result.stderr) == (0, "")
    day = f"{NOON:%Y-%m-%d}"
    assert f"Import 1 covers {day} 00:00 to " in result.stdout
    assert (
        "2 lines, 2 of them new: 1 payments, 0 reversals, 0 passed over, 0 unreadable."
        in result.stdout
    )
    assert "Recovered 1 (KES 1500), without an order 0" in result.stdout
    with shop.reading() as session:
        assert session.get_one(Order, order.id).status == "paid"
        assert session.get_one(StatementImport, 1).actor_id is None
    once = database_snapshot(shop)
    again = manage("payments", "import-statement", path)
    assert "2 lines, 0 of them new" in again.stdout
    assert database_snapshot(shop) == once


def test_lines_that_cannot_be_read_are_shown_and_the_exit_code_says_so(
    manage, shop, order, statement
):
    lines = [paid(f"UKM{number:07d}", at="never") for number in range(25)]
    result = manage("payments", "import-statement", statement(*lines))

    assert result.exit_code == 1
    shown = [line for line in result.stderr.splitlines() if line.startswith("  line ")]
    assert (len(shown), shown[0]) == (20, "  line 8: Its completion time cannot be read.")
    assert result.stderr.splitlines()[-1] == "  ... and 5 more."


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello,world\n", "This is no statement of M-Pesa's organisation portal"),
        (b"PK\x03\x04", "save it as “CSV UTF-8”"),
        (classic(paid(), above=preamble(shortcode="999999")), "another shortcode"),
    ],
)
def test_what_is_no_statement_of_ours_changes_nothing(manage, shop, home, content, words):
    (home / "odd.csv").write_bytes(content)
    before = database_snapshot(shop)
    result = manage("payments", "import-statement", "odd.csv")
    assert (result.exit_code, words in result.stderr) == (1, True)
    assert database_snapshot(shop) == before


def test_a_statement_that_is_not_there_is_wrong_usage(manage, shop):
    assert manage("payments", "import-statement", "nothing.csv").exit_code == 2


def test_the_report_of_a_day_that_nobody_covered_is_not_clean(manage, shop):
    result = manage("payments", "report")
    assert result.exit_code == 1
    assert "NOT COVERED" in result.stdout
    assert result.stdout.endswith("Not clean.\n")


def test_the_report_of_a_day_that_matches_is_clean(manage, shop, order, statement):
    manage("payments", "import-statement", statement(paid(account=order.number, at=AT)))
    for arguments in ((), ("--day", f"{NOON:%Y-%m-%d}")):
        result = manage("payments", "report", *arguments)
        assert result.exit_code == 0, result.stdout
        assert "payments matched           1 (KES 1500)\n" in result.stdout
        assert "covered by file 1 statement.csv" in result.stdout
        assert result.stdout.endswith("Clean.\n")


def test_the_report_names_what_does_not_match(manage, shop, order, statement):
    with shop.transaction() as session:
        facts = ReceiptFacts("UKM0000OUR", 90_000, "c2b", order.number, NOON)
        receive_money(session, facts, NOON)
    manage("payments", "import-statement", statement(paid("UKM0000STR", account="X", at=AT)))
    day = f"{NOON:%Y-%m-%d}"
    result = manage("payments", "report", "--from", day, "--to", day)

    assert result.exit_code == 1
    assert "payments missing there     1 (KES 900)" in result.stdout
    line = next(line for line in result.stdout.splitlines() if "UKM0000OUR" in line)
    assert "KES 900" in line
    assert f"order {order.number}, payment 1, task " in line
    assert line.endswith("nobody's yet")
    assert "unmatched money            1 (KES 1500)" in result.stdout

    said = json.loads(manage("payments", "report", "--day", day, "--json").stdout)
    assert (said["differs"], said["payments"]["missing_there"]["amount"]) == (True, 900)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--day", "yesterday"), "does not match"),
        (("--day", "2026-11-22", "--from", "2026-11-22"), "--day: Name one day"),
        (("--from", "2026-11-22"), "--to: Name the first day and the last."),
        (("--from", "2026-11-22", "--to", "2026-11-21"), "--to: This day is before"),
        (("--from", "2026-01-01", "--to", "2026-11-21"), "--to: Ask for at most 92 days."),
    ],
)
def test_a_period_that_makes_no_sense_is_wrong_usage(manage, shop, arguments, words):
    result = manage("payments", "report", *arguments)
    assert (result.exit_code, words in result.stderr) == (2, True)


@pytest.fixture
def simulator(shop, monkeypatch):
    with SimulatorServer(SimulatorConfig(port=0)) as server:
        monkeypatch.setenv("MPESA_BASE_URL", server.url)
        monkeypatch.setenv("PUBLIC_URL", "http://127.0.0.1:5000")
        yield server


def test_the_list_is_registered_for_and_fetched(manage, shop, simulator):
    registered = manage("payments", "register-pull")
    assert (registered.exit_code, registered.stdout) == (
        0,
        "Safaricom keeps a list of the payments to 174379.\n",
    )
    assert manage("payments", "register-pull", "--number", "0708 374 149").exit_code == 0
    result = manage("payments", "pull")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.endswith(
        "recovered 0, without an order 0, with another amount 0;"
        " reversals 0, refunds that they prove 0.\n"
    )
    since = manage("payments", "pull", "--since", "2026-01-01")
    assert since.exit_code == 0
    assert since.stdout.startswith("2026-01-01 00:00 to 2026-01-03 00:00: 0 lines")
    assert how_many(shop, StatementLine) == 0


def test_a_list_that_cannot_be_fetched_is_said_so(manage, shop, order):
    result = manage("payments", "pull")  # nobody answers
    assert (result.exit_code, "Not complete: " in result.stdout) == (1, True)
    with shop.reading() as session:
        assert session.scalars(select(StatementImport.finished_at)).all() == [None]
    refused = manage("payments", "register-pull")
    assert (refused.exit_code, "did not register it" in refused.stderr) == (1, True)


def test_without_a_number_or_the_right_nothing_is_sent(manage, shop, monkeypatch):
    assert manage("payments", "register-pull", "--number", "+44 20 7946").exit_code == 2
    monkeypatch.setenv("MPESA_PULL", "false")
    result = manage("payments", "pull")
    assert (result.exit_code, "MPESA_PULL=true" in result.stderr) == (1, True)
