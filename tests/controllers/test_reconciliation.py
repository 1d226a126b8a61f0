"""Statements and the report at the edge: who, how large, of which kind, and what is answered."""

import io
from datetime import datetime

import pytest

from app.composition import MAX_BODY_BYTES
from app.controllers import reconciliation_controller as module
from app.models import Order, StatementLine
from app.policies import Role
from app.services.receipts import ReceiptFacts
from app.services.receive_money import receive_money
from app.utils.clock import EAT
from tests.controllers.callers import is_refused
from tests.controllers.sign_in import new_caller
from tests.core import after, buy, database_snapshot, make_buyer
from tests.factories import make_product
from tests.statements import charged, classic, paid, preamble

STATEMENTS = "/api/statements"
REPORT = "/api/reconciliation"


@pytest.fixture
def clock(clock):
    clock.now = datetime(2026, 11, 23, 8, 0, tzinfo=EAT)
    return clock


@pytest.fixture
def admin(app, database):
    return new_caller(app, database, Role.ADMIN)


@pytest.fixture
def order(database):
    with database.transaction() as session:
        return buy(session, make_buyer(session), (make_product(session), 1))


@pytest.fixture
def send(client, admin):
    def send(data, content_type="multipart/form-data", headers=admin[1], **options):
        answer = client.post(
            STATEMENTS, data=data, content_type=content_type, headers=headers, **options
        )
        answer.request.environ["wsgi.input"].close()  # a big body waits in a file
        return answer

    return send


@pytest.fixture
def ask(client, admin):
    def ask(query="", headers=admin[1]):
        return client.get(f"{REPORT}{query}", headers=headers)

    return ask


def form(content: bytes, name="Statements.csv", field="file"):
    return {field: (io.BytesIO(content), name)}


def test_a_statement_is_taken_in_as_a_file_of_a_form(send, database, order):
    answer = send(form(classic(charged(), paid(account=order.number), paid(at="never"))))
    assert (answer.status_code, answer.get_json()) == (
        200,
        {
            "id": 1,
            "file_name": "Statements.csv",
            "covers_from": "2026-11-21T21:00:00Z",
            "covers_to": "2026-11-22T21:00:00Z",
            "lines": 2,
            "fresh_lines": 2,
            "payments": 1,
            "recovered": {"count": 1, "amount": 1500},
            "unmatched": {"count": 0, "amount": 0},
            "different": 0,
            "refunds": 0,
            "before_the_shop": 0,
            "passed_over": 0,
            "unreadable": 1,
            "errors": [{"line": 10, "message": "Its completion time cannot be read."}],
        },
    )
    assert answer.headers["Cache-Control"] == "no-store"
    with database.reading() as session:
        assert session.get_one(Order, order.id).status == "paid"


def test_a_statement_is_taken_in_as_the_body_and_the_same_once_more_changes_nothing(
    send, database, order
):
    content = classic(paid(account=order.number))
    first = send(content, "text/csv")
    assert (first.status_code, first.get_json()["file_name"]) == (200, None)
    once = database_snapshot(database)
    again = send(content, "text/csv; charset=utf-8").get_json()
    assert (again["id"], again["fresh_lines"], again["recovered"]["count"]) == (1, 0, 0)
    assert database_snapshot(database) == once


REFUSED = [
    (form(b"hello,world\n"), 400, "statement_without_columns"),
    (form(b""), 400, "statement_empty"),
    (form(b"PK\x03\x04"), 400, "statement_not_csv"),
    (form(classic(paid(), above=preamble(shortcode="999999"))), 400, "statement_of_another"),
    (
        form(classic(paid(), above=preamble(account="Working Account"))),
        400,
        "statement_of_other_account",
    ),
]


@pytest.mark.parametrize(("data", "status", "code"), REFUSED)
def test_a_file_that_is_no_statement_of_ours_changes_nothing(send, database, data, status, code):
    data = {name: (io.BytesIO(file.getvalue()), sent) for name, (file, sent) in data.items()}
    before = database_snapshot(database)
    assert is_refused(send(data), status, code, "file")
    assert database_snapshot(database) == before


def test_attack_73_odd_forms_are_refused(send, database, order):
    before = database_snapshot(database)
    content = classic(paid(account=order.number))
    assert is_refused(send({}), 400, "invalid_input", "file")
    assert is_refused(send(form(content, field="statement")), 400, "invalid_input", "statement")
    assert is_refused(send({"file": "text"}), 400, "invalid_input", "file")
    two = {"file": [(io.BytesIO(content), "a.csv"), (io.BytesIO(content), "b.csv")]}
    assert is_refused(send(two), 400, "invalid_input", "file")
    many = {f"field{number}": "x" for number in range(60)}
    assert send(many).status_code == 413
    assert is_refused(send(b"{}", "application/json"), 415, "unsupported_media_type")
    assert is_refused(send(content, "application/vnd.ms-excel"), 415, "unsupported_media_type")
    cut = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nRec'
    assert send(cut, "multipart/form-data; boundary=x").status_code == 400
    assert database_snapshot(database) == before


def test_a_file_may_be_larger_than_other_bodies_and_no_larger_than_allowed(
    send, database, order, monkeypatch
):
    content = classic(paid(account=order.number)) + b"\r\n" * MAX_BODY_BYTES
    assert is_refused(send(content, "text/csv"), 400, "statement_too_long", "file")
    monkeypatch.setattr(module, "LARGEST_STATEMENT_BYTES", 1_000)
    before = database_snapshot(database)
    for data, kind in ((content, "text/csv"), (form(content), "multipart/form-data")):
        assert is_refused(send(data, kind), 413, "body_too_large")
    assert database_snapshot(database) == before


def test_a_statement_with_too_many_lines_is_refused_whole(send, database, order, monkeypatch):
    monkeypatch.setattr(module, "MOST_LINES_SENT", 2)
    before = database_snapshot(database)
    content = classic(paid("UKM0000001"), paid("UKM0000002"), paid("UKM0000003"))
    assert is_refused(send(form(content)), 400, "statement_too_long", "file")
    assert database_snapshot(database) == before


@pytest.mark.parametrize("role", [Role.CUSTOMER, Role.SELLER])
def test_statements_and_reports_are_for_admins(app, client, database, order, send, ask, role):
    _, headers = new_caller(app, database, role)
    before = database_snapshot(database)
    assert is_refused(send(form(classic(paid())), headers=headers), 403, "forbidden")
    assert is_refused(ask(headers=headers), 403, "forbidden")
    assert is_refused(ask(headers={}), 401, "unauthenticated")
    assert database_snapshot(database) == before


def test_attack_65_what_a_spreadsheet_would_run_is_text_here(send, ask, database, order):
    """The account number is what a stranger typed; it comes back as it was, in JSON."""
    formula = "=HYPERLINK(0)"
    send(form(classic(paid(account=formula))))
    with database.reading() as session:
        assert session.query(StatementLine).one().bill_reference == formula
    (row,) = ask("?day=2026-11-22").get_json()["unmatched"]["rows"]
    assert row["said"] == formula


def test_the_report_is_yesterdays_unless_another_day_is_named(send, ask, database, order):
    with database.transaction() as session:
        facts = ReceiptFacts("UKM0000OUR", 90_000, "c2b", order.number, after(minutes=1))
        receive_money(session, facts, after(minutes=1))
    send(form(classic(paid("UKM0000STR", account="CHAMA"))))

    answer = ask()
    assert answer.status_code == 200
    said = answer.get_json()
    assert said == ask("?day=2026-11-22").get_json()
    assert said == ask("?from=2026-11-22&to=2026-11-22").get_json()
    assert answer.headers["Cache-Control"] == "no-store"
    assert (said["since"], said["until"]) == ("2026-11-21T21:00:00Z", "2026-11-22T21:00:00Z")
    assert (said["clean"], said["differs"], said["covered"], said["gaps"]) == (
        False,
        True,
        True,
        [],
    )
    assert said["covers"] == [
        {
            "import_id": 1,
            "source": "file",
            "since": "2026-11-21T21:00:00Z",
            "until": "2026-11-22T21:00:00Z",
            "file_name": "Statements.csv",
            "unreadable_lines": 0,
        }
    ]
    payments = said["payments"]
    assert payments["matched"] == {"count": 1, "amount": 1500}
    assert payments["missing_here"] == {"count": 0, "amount": 0, "rows": []}
    assert payments["missing_there"]["rows"] == [
        {
            "receipt": "UKM0000OUR",
            "amount": 900,
            "mpesa_amount": None,
            "moved_at": "2026-11-22T09:01:00Z",
            "age_seconds": 71_940,
            "said": order.number,
            "payment_id": 1,
            "refund_id": None,
            "order_id": order.id,
            "order_number": order.number,
            "task_id": 2,
            "owner": None,
        }
    ]
    assert (said["unmatched"]["count"], said["unmatched"]["amount"]) == (1, 1500)


def test_a_day_that_nobody_looked_at_says_so(ask, order):
    said = ask("?from=2026-11-20&to=2026-11-23").get_json()
    assert (said["clean"], said["covered"], said["differs"]) == (False, False, False)
    assert said["gaps"] == [{"since": "2026-11-19T21:00:00Z", "until": "2026-11-23T05:00:00Z"}]


BAD_QUERIES = [
    ("?day=yesterday", "day"),
    ("?day=2026-02-30", "day"),
    ("?day=20261122", "day"),
    ("?day=2026-11-22T00:00:00", "day"),
    ("?day=", "day"),
    ("?day=2026-11-22&day=2026-11-23", "day"),
    ("?day=2026-11-22&from=2026-11-22", "day"),
    ("?from=2026-11-22", "to"),
    ("?to=2026-11-22", "from"),
    ("?from=2026-11-22&to=2026-11-21", "to"),
    ("?from=2026-08-01&to=2026-11-22", "to"),
    ("?day=0000-00-00", "day"),
    ("?day=%00", "day"),
]


@pytest.mark.parametrize(("query", "field"), BAD_QUERIES)
def test_a_period_that_makes_no_sense_is_refused(ask, query, field):
    assert is_refused(ask(query), 400, "invalid_input", field)


@pytest.mark.parametrize("query", ["?from=2026-08-23&to=2026-11-22", "?day=9999-12-30"])
def test_a_long_period_and_a_far_day_are_answered(ask, query):
    assert ask(query).status_code == 200
