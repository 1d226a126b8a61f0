"""M-Pesa's books in the office: compared, and told plainly where nobody looked."""

from datetime import datetime
from io import BytesIO

import pytest
from sqlalchemy import select

from app.models import MpesaReceipt, Order, RefundKind, StatementImport, Task
from app.policies import Role
from app.services.receipts import ReceiptFacts
from app.services.receive_money import receive_money
from app.services.refunds import record_by_hand
from app.utils.clock import EAT
from app.web.office import reconciliation
from tests.core import after, buy, database_snapshot, make_buyer
from tests.factories import actor_of, make_product, make_user
from tests.refunding import ask_refund, make_sale
from tests.statements import classic, file_of, paid, preamble, reversed_
from tests.web.browsing import signed_in, words

PAGE = "/office/reconciliation"
A_DAY = f"{PAGE}?first_day=2026-11-22&last_day=2026-11-22"


@pytest.fixture
def clock(clock):
    clock.now = datetime(2026, 11, 23, 8, 0, tzinfo=EAT)
    return clock


@pytest.fixture
def admin(app, database):
    with database.transaction() as session:
        user = make_user(session, Role.ADMIN)
    return signed_in(app, user)


@pytest.fixture
def order(database):
    with database.transaction() as session:
        return buy(session, make_buyer(session), (make_product(session, stock=9), 1))


def send(browser, content: bytes, name="statement.csv", **options):
    browser.get(PAGE)
    form = {"file": (file_of(content), name)}
    return browser.post(PAGE, form, content_type="multipart/form-data", **options)


def test_only_an_admin_sees_the_books(app, database, admin):
    for role in (Role.CUSTOMER, Role.SELLER):
        with database.transaction() as session:
            user = make_user(session, role)
        browser = signed_in(app, user)
        before = database_snapshot(database)
        assert browser.get(PAGE).status_code == 403
        assert browser.post(PAGE, {}).status_code == 403
        assert database_snapshot(database) == before
    assert admin.get(PAGE).status_code == 200


def test_a_statement_that_is_brought_in_pays_its_order_and_shows_its_days(admin, database, order):
    answer = send(admin, classic(paid(account=order.number)))
    assert (answer.status_code, answer.headers["Location"]) == (303, A_DAY)
    shown = words(admin.get(A_DAY))

    assert "The statement is in: 1 lines, 1 of them new. Found for its order: KSh 1,500." in shown
    assert "Everything matches, and all of it was compared." in shown
    assert "Match 1, KSh 1,500" in shown
    assert "Statement statement.csv 22 Nov, 00:00" in shown
    with database.reading() as session:
        assert session.get_one(Order, order.id).status == "paid"


def test_the_same_statement_once_more_says_that_nothing_is_new(admin, database, order):
    content = classic(paid(account=order.number))
    send(admin, content)
    admin.get(A_DAY)
    before = database_snapshot(database)
    send(admin, content)
    assert "1 lines, 0 of them new." in words(admin.get(A_DAY))
    assert database_snapshot(database) == before


def test_what_does_not_match_is_shown_with_its_order_payment_and_task(admin, database, order):
    with database.transaction() as session:
        facts = ReceiptFacts("UKM0000GON", 150_000, "c2b", order.number, after(minutes=1))
        receive_money(session, facts, after(minutes=1))
    answer = send(admin, classic(paid("UKM0000STR", account="CHAMA")), follow=True)
    shown = words(answer)

    assert "Something does not match. Look at each row below." in shown
    assert "On our books, not on M-Pesa's 1, KSh 1,500" in shown
    with database.reading() as session:
        row = session.get_one(MpesaReceipt, "UKM0000GON")
        task = session.scalars(select(Task).where(Task.receipt == "UKM0000GON")).one()
    assert "UKM0000GON 22 Nov, 12:01 (19 hours)" in shown
    for address in (
        f"/office/orders/{order.id}",
        f"/office/payments/{row.payment_id}",
        f"/office/tasks/{task.id}",
    ):
        assert f'href="{address}"' in answer.text
        assert admin.get(address, follow_redirects=True).status_code == 200
    assert "Money without an order 1, KSh 1,500" in shown
    assert "CHAMA" in shown


def test_a_refund_that_the_statement_proves_is_told(admin, database):
    with database.transaction() as session:
        sale = make_sale(session)
        ask_refund(session, sale.admin, sale.payment, method=RefundKind.BY_HAND)
    content = classic(paid(sale.receipt), reversed_(original=sale.receipt))
    shown = words(send(admin, content, follow=True))
    assert "It proves 1 refund." in shown
    assert "Something does not match" not in shown


def test_a_refund_that_the_statement_lacks_is_named(admin, database):
    with database.transaction() as session:
        sale = make_sale(session)
        refund = ask_refund(session, sale.admin, sale.payment, method=RefundKind.BY_HAND)
        actor = actor_of(sale.admin)
        record_by_hand(session, actor, refund.id, "UKM0000BYH", after(hours=1))
    answer = send(admin, classic(paid(sale.receipt)), follow=True)
    assert f'href="/office/refunds/{refund.id}"' in answer.text
    shown = words(answer)
    assert "UKM0000BYH 22 Nov, 13:00 (19 hours) KSh 1,500" in shown
    assert f"Payment {sale.payment.id} Refund {refund.id} Nobody yet" in shown


def test_lines_that_cannot_be_read_are_shown_with_their_number(admin, database, order):
    bad = [paid("UKM0000BAD", at="tomorrow"), paid(account=order.number)]
    answer = send(admin, classic(*bad))
    shown = words(answer)
    assert answer.status_code == 200
    assert "1 line could not be read. It may be money: look at it." in shown
    assert "Line 8 Its completion time cannot be read." in shown
    assert "Found for its order KSh 1,500" in shown
    assert "1 line unreadable" in shown
    assert "What was compared matches, but not all of it was compared." in shown


def test_of_many_lines_that_cannot_be_read_the_first_are_shown(admin, order, monkeypatch):
    monkeypatch.setattr(reconciliation, "MOST_FAULTS", 2)
    answer = send(admin, classic(*[paid(f"UKM000000{n}", at="never") for n in range(3)]))
    shown = words(answer)
    assert "Line 9" in shown
    assert "Line 10" not in shown
    assert "These are the first 2." in shown


def test_a_fault_of_ours_is_told_and_the_statement_may_come_again(
    admin, database, order, monkeypatch
):
    content = classic(paid(account=order.number))

    def fails(*_args):
        raise RuntimeError("A fault of ours")

    with monkeypatch.context() as patched:
        patched.setattr("app.jobs.take_lines.receive_money", fails)
        shown = words(send(admin, content))
    assert "1 line could not be counted, by a fault in this shop." in shown
    send(admin, content)
    with database.reading() as session:
        assert session.get_one(Order, order.id).status == "paid"


REFUSED = [
    (b"sku,name\n", 400, "This is no statement of M-Pesa's organisation portal"),
    (b"", 400, "Choose a file first."),
    (b"PK\x03\x04rest", 400, "This is a workbook or a PDF."),
    (classic(above=preamble(shortcode="999999")), 400, "This is the statement of another"),
]


@pytest.mark.parametrize(("content", "status", "sentence"), REFUSED)
def test_what_is_no_statement_is_refused_beside_its_field(
    admin, database, order, content, status, sentence
):
    admin.get(PAGE)
    before = database_snapshot(database)
    answer = send(admin, content)
    assert answer.status_code == status
    assert sentence in words(answer)
    assert answer.text.index('id="upload-title"') < answer.text.index('name="first_day"')
    assert database_snapshot(database) == before


def test_a_form_without_a_file_is_refused(admin, database, order):
    admin.get(PAGE)
    answer = admin.post(PAGE, {}, content_type="multipart/form-data")
    assert answer.status_code == 400
    with database.reading() as session:
        assert session.scalars(select(StatementImport)).all() == []


def test_attack_73_a_file_that_is_too_large_is_refused_unread(admin, database, order, monkeypatch):
    monkeypatch.setattr(reconciliation, "LARGEST_STATEMENT_BYTES", 1_000)
    admin.get(PAGE)
    before = database_snapshot(database)
    answer = admin.post(
        PAGE,
        {"file": (BytesIO(b"x" * 200_000), "statement.csv")},
        content_type="multipart/form-data",
    )
    assert answer.status_code == 413
    assert database_snapshot(database) == before


def test_attack_30_what_a_payer_typed_is_shown_as_text(admin, order):
    answer = send(admin, classic(paid(account="<b>x</b>")), follow=True)
    assert "&lt;b&gt;x&lt;/b&gt;" in answer.text
    assert "<b>x</b>" not in answer.text


def test_a_time_that_nobody_looked_at_is_not_called_fine(admin, order):
    shown = words(admin.get(A_DAY))
    assert "Everything matches" not in shown
    assert "Nothing of this time was compared yet." in shown
    assert "Not covered: nobody knows what M-Pesa's books say of this time." in shown
    assert "22 Nov, 00:00" in shown


def test_without_days_it_is_yesterday_in_nairobi(admin, order):
    page = admin.get(PAGE).text
    assert page.count('value="2026-11-22"') == 2


def test_one_day_is_enough(admin, order):
    page = admin.get(f"{PAGE}?first_day=2026-11-20").text
    assert page.count('value="2026-11-20"') == 2


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("first_day=tomorrow", "Must be a day, like 2026-11-30."),
        ("first_day=2026-11-22&last_day=2026-11-21", "day"),
        ("first_day=2020-01-01&last_day=2026-11-22", "92 days"),
    ],
)
def test_days_that_make_no_sense_are_refused_beside_their_field(admin, query, sentence):
    answer = admin.get(f"{PAGE}?{query}")
    assert answer.status_code == 400
    assert 'aria-invalid="true"' in answer.text
    assert sentence in words(answer)


def test_it_speaks_swahili(admin, order):
    admin.headers["Accept-Language"] = "sw"
    shown = words(send(admin, classic(paid(account=order.number)), follow=True))
    assert "Taarifa imeingia: mistari 1, mipya 1." in shown
    assert "Vitabu vya M-Pesa na vyetu" in shown


def test_it_is_found_from_the_payments(admin):
    assert f'href="{PAGE}"' in admin.get("/office/payments").text
