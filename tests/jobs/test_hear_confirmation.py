"""Money that is known by one road is counted once by all: with the real readers of messages."""

from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import permutations

import pytest
from sqlalchemy import func, select

from app.jobs.check_payment import check_payment, failure_of
from app.jobs.process_message import process_message
from app.jobs.work import Work
from app.models import (
    InboxMessage,
    InboxSource,
    LedgerEntry,
    MpesaReceipt,
    Order,
    OrderStatus,
    Payment,
    Task,
)
from app.services.audit import audit
from app.services.end_order import cancel_order, expire_order
from app.services.fail_payment import fail_payment
from app.services.inbox import ReceivedMessage
from app.services.move_order import lock_order
from app.services.receipts import find_receipt
from app.services.unmatched_money import attach_money
from app.utils.order_number import new_order_number
from tests.core import (
    after,
    ask_to_pay,
    books,
    buy,
    counts,
    database_snapshot,
    make_buyer,
    push_ids,
    task_kinds,
)
from tests.factories import actor_of, make_product, make_user
from tests.inbox import keep_message
from tests.safaricom import callback_body, notice_body

pytestmark = pytest.mark.usefixtures("logs")

PHONE = "254700000001"
RECEIPT = "UKM0000001"
"""What a callback and a confirmation call the same money."""

SHAPES = {
    "whole": PHONE,
    "local": "0700000001",
    "masked": "2547 ***** 001",
    "masked shorter": "25470****001",
    "hashed": sha256(PHONE.encode()).hexdigest(),
}


@dataclass
class Shop:
    """An order of KES 1,500 and all roads by which news of money come."""

    work: Work
    clock: object
    gateway: object
    buyer: object
    product: object
    order: Order

    def hear(self, source: InboxSource, body: bytes, payment_id: int | None = None) -> str | None:
        message = ReceivedMessage(source, body, {}, "196.201.214.200", payment_id)
        with self.work.database.transaction() as session:
            message_id = keep_message(session, message, self.clock()).id
        process_message(self.work, message_id)
        with self.work.database.reading() as session:
            return session.get_one(InboxMessage, message_id).outcome

    def confirm(self, account: str | None = None, **changes) -> str | None:
        account = self.order.number if account is None else account
        body = notice_body(account, **{"receipt": RECEIPT, **changes})
        return self.hear(InboxSource.C2B_CONFIRMATION, body)

    def call_back(self, payment: Payment, **changes) -> str | None:
        body = callback_body(*push_ids(payment.id), **changes)
        return self.hear(InboxSource.STK_CALLBACK, body, payment.id)

    def query(self, payment: Payment, code: str = "0") -> None:
        self.gateway.says(push_ids(payment.id)[1], code)
        self.clock.advance(seconds=60)
        check_payment(self.work, payment.id)

    def ask(self, order: Order | None = None, msisdn: str = PHONE) -> Payment:
        with self.work.database.transaction() as session:
            return ask_to_pay(session, order or self.order, self.clock(), msisdn=msisdn)

    def fail(self, payment: Payment, code: str = "1037") -> None:
        with self.work.database.transaction() as session:
            failure = failure_of(code, "", source="callback")
            fail_payment(session, payment.id, failure, self.clock())

    def hasten(self, payment: Payment) -> None:
        """As if a worker had been about to ask when the prompt ended."""
        with self.work.database.transaction() as session:
            session.get_one(Payment, payment.id).next_check_at = self.clock()

    def another(self, **fields) -> Order:
        with self.work.database.transaction() as session:
            return buy(session, self.buyer, (self.product, 1), now=self.clock(), **fields)

    def status(self, order: Order | None = None) -> str:
        with self.work.database.reading() as session:
            return session.get_one(Order, (order or self.order).id).status

    def payments(self) -> list[tuple]:
        """(kind, status, cents, receipt) of each."""
        with self.work.database.reading() as session:
            rows = session.execute(
                select(Payment.kind, Payment.status, Payment.amount_cents, Payment.mpesa_receipt)
                .where(Payment.order_id == self.order.id)
                .order_by(Payment.id)
            )
            return [tuple(row) for row in rows]

    def receipts(self) -> list[tuple]:
        """(receipt, state, cents) of each."""
        with self.work.database.reading() as session:
            rows = session.execute(
                select(
                    MpesaReceipt.receipt, MpesaReceipt.state, MpesaReceipt.amount_cents
                ).order_by(MpesaReceipt.receipt)
            )
            return [tuple(row) for row in rows]

    def books(self) -> list[tuple]:
        with self.work.database.reading() as session:
            return books(session, self.order)

    def held_cents(self) -> int:
        """What the books say that we have in M-Pesa, whoever it is from."""
        with self.work.database.reading() as session:
            total = select(func.sum(LedgerEntry.amount_cents))
            return int(session.scalar(total.where(LedgerEntry.account == "mpesa")) or 0)

    def tasks(self) -> list[str]:
        with self.work.database.reading() as session:
            return task_kinds(session)

    def open_tasks(self) -> list[str]:
        with self.work.database.reading() as session:
            undone = select(Task.kind).where(Task.status != "done").order_by(Task.id)
            return list(session.scalars(undone))

    def is_sound(self) -> bool:
        with self.work.database.reading() as session:
            assert audit(session, self.clock()) == []
        return True


@pytest.fixture
def shop(work, database, clock, gateway) -> Shop:
    with database.transaction() as session:
        buyer = make_buyer(session, phone_number=PHONE)
        product = make_product(session, stock=3)
        order = buy(session, buyer, (product, 1))
    return Shop(work, clock, gateway, buyer, product, order)


@pytest.fixture
def till(shop) -> Shop:
    """The same where customers pay to a till: nobody types an account number."""
    config = replace(
        shop.work.config,
        mpesa_shortcode="600001",
        mpesa_till="600002",
        mpesa_c2b_shortcode="600002",
    )
    return replace(shop, work=replace(shop.work, config=config))


PAID_ONCE = [
    ("payment", "mpesa", 150_000),
    ("payment", "customer", -150_000),
    ("sale", "customer", 150_000),
    ("sale", "sales", -150_000),
]
ROADS = ("callback", "confirmation", "query")
NEWS = [order for count in (1, 2, 3) for order in permutations(ROADS, count)]


def travel(shop: Shop, payment: Payment, road: str, **confirmed) -> None:
    if road == "callback":
        shop.call_back(payment)
    elif road == "query":
        shop.query(payment)
    else:
        shop.confirm(**confirmed)


@pytest.mark.parametrize("news", NEWS, ids="-".join)
def test_a_prompt_is_counted_once_whatever_tells_of_it_and_in_which_order(shop, news):
    payment = shop.ask()
    for road in (*news, *reversed(news)):
        travel(shop, payment, road)
        assert shop.status() == "paid"
        assert shop.books() == PAID_ONCE
        assert shop.is_sound()
    receipt = None if news == ("query",) else RECEIPT
    assert shop.payments() == [("stk_push", "succeeded", 150_000, receipt)]
    assert shop.receipts() == ([(RECEIPT, "matched", 150_000)] if receipt else [])
    assert shop.tasks() == []


@pytest.mark.parametrize("phone", ["whole", "masked", "hashed"])
@pytest.mark.parametrize("news", [one for one in NEWS if "confirmation" in one], ids="-".join)
def test_a_prompt_of_a_till_is_counted_once_though_nobody_names_the_order(till, news, phone):
    payment = till.ask()
    for road in (*news, *reversed(news)):
        confirmed = {"account": "", "shortcode": "600002", "phone": SHAPES[phone]}
        travel(till, payment, road, **confirmed)
    assert till.status() == "paid"
    assert till.books() == PAID_ONCE
    assert till.held_cents() == 150_000
    assert till.payments() == [("stk_push", "succeeded", 150_000, RECEIPT)]
    assert till.receipts() == [(RECEIPT, "matched", 150_000)]
    assert till.open_tasks() == []
    assert till.is_sound()


@pytest.mark.parametrize(
    ("why", "told"),
    [
        ("another phone", {"phone": "2547 ***** 002"}),
        ("a phone that says nothing", {"phone": "2********"}),
        ("no phone", {"phone": ""}),
        ("another amount", {"amount": "1499.00"}),
        ("long before the prompt", {"moment": "20261122115000"}),
        ("long after the prompt", {"moment": "20261122121500"}),
        ("no moment", {"moment": ""}),
    ],
)
def test_money_at_a_till_that_may_be_anothers_waits_for_a_person(till, why, told):
    till.ask()
    assert till.confirm("", shortcode="600002", **told) == "unmatched", why
    assert till.status() == "pending"
    assert till.tasks() == ["unmatched_money"]
    assert till.is_sound()


def test_money_at_a_till_that_fits_two_prompts_waits_until_one_of_them_names_it(till):
    first = till.ask()
    other = till.another()
    second = till.ask(other, msisdn="254711111001")
    masked = {"account": "", "shortcode": "600002", "phone": "2547 ***** 001"}
    assert till.confirm(**masked) == "unmatched"
    assert till.open_tasks() == ["unmatched_money"]

    assert till.call_back(second, receipt=RECEIPT) == "settled"
    assert (till.status(), till.status(other)) == ("pending", "paid")
    assert till.open_tasks() == []
    assert till.confirm(receipt="UKM0000002", **masked) == "settled"
    assert till.call_back(first, receipt="UKM0000002") == "already_settled"
    assert (till.status(), till.held_cents()) == ("paid", 300_000)
    assert till.is_sound()


def test_what_a_person_attaches_answers_the_prompt_that_waits_for_it(till, database):
    """Else the query, which names no receipt, would count the same money a second time."""
    payment = till.ask()
    assert till.confirm("", shortcode="600002", phone="") == "unmatched"
    with database.transaction() as session:
        admin = make_user(session, "admin")
        order = lock_order(session, till.order.id)
        row = find_receipt(session, RECEIPT)
        attached = attach_money(session, row, order, till.clock(), actor_id=admin.id)
        assert attached.id == payment.id

    till.query(payment)
    assert till.call_back(payment) == "already_settled"
    assert till.books() == PAID_ONCE
    assert till.held_cents() == 150_000
    assert till.payments() == [("stk_push", "succeeded", 150_000, RECEIPT)]
    assert till.open_tasks() == []
    assert till.is_sound()


def test_what_the_query_counted_is_not_counted_again_when_a_person_attaches_its_receipt(
    till, database
):
    payment = till.ask()
    assert till.confirm("", shortcode="600002", phone="") == "unmatched"
    till.query(payment)
    assert (till.status(), till.held_cents()) == ("paid", 300_000)  # one of them is unmatched

    with database.transaction() as session:
        order = lock_order(session, till.order.id)
        attach_money(session, find_receipt(session, RECEIPT), order, till.clock())
    assert till.held_cents() == 150_000
    assert till.payments() == [("stk_push", "succeeded", 150_000, RECEIPT)]
    assert till.open_tasks() == []
    assert till.is_sound()


def test_a_confirmation_teaches_what_the_callback_did_not_say(shop, database):
    payment = shop.ask()
    shop.call_back(payment)
    assert shop.confirm() == "known"

    with database.reading() as session:
        row = session.get_one(MpesaReceipt, RECEIPT)
        linked = session.scalars(select(InboxMessage.payment_id)).all()
    assert (row.source, row.bill_reference, row.payer_phone, row.payer_name) == (
        "callback",
        shop.order.number,
        "2547 ***** 001",
        "WANJIKU",
    )
    assert row.transacted_at == after(seconds=30)
    assert linked == [payment.id, payment.id]


def test_the_same_confirmation_again_changes_nothing(shop, database):
    assert shop.confirm() == "booked"
    once = database_snapshot(database)
    assert [shop.confirm() for _ in range(3)] == ["known"] * 3
    after_all = database_snapshot(database)

    assert {name for name in once if once[name] != after_all[name]} == {"callback_inbox"}
    assert shop.is_sound()


def test_a_confirmation_for_another_amount_than_the_callback_said_moves_nothing(shop):
    payment = shop.ask()
    shop.call_back(payment)
    assert shop.confirm(amount="1501.00") == "different"
    assert shop.confirm(amount="1501.00") == "different"

    assert shop.books() == PAID_ONCE
    assert shop.tasks() == ["statement_difference"]
    assert shop.is_sound()


def test_a_callback_for_another_amount_than_the_confirmation_said_waits_for_a_person(shop):
    """Money of another amount than the prompt's is money of its own; then the two contradict."""
    payment = shop.ask()
    assert shop.confirm(amount="1501.00") == "booked"
    assert shop.call_back(payment) == "receipt_conflict"

    assert shop.status() == "paid"
    assert shop.payments() == [
        ("stk_push", "unknown", 150_000, None),
        ("paybill", "succeeded", 150_100, RECEIPT),
    ]
    assert shop.held_cents() == 150_100
    assert shop.tasks() == ["over_payment", "receipt_conflict"]
    assert shop.is_sound()


def test_an_order_is_paid_in_parts_from_the_menu_and_by_a_prompt_for_the_rest(shop):
    assert shop.confirm(amount="500.00", receipt="UKM9000001") == "booked"
    assert shop.status() == "pending"
    payment = shop.ask()
    assert payment.amount_cents == 100_000
    assert shop.call_back(payment, amount=1000) == "settled"

    assert shop.status() == "paid"
    assert shop.held_cents() == 150_000
    assert shop.tasks() == []
    assert shop.is_sound()


def test_the_last_part_may_bring_more_than_was_left(shop):
    shop.confirm(amount="1000.00", receipt="UKM9000001")
    assert shop.confirm(amount="700.00", receipt="UKM9000002") == "booked"

    assert shop.status() == "paid"
    assert shop.tasks() == ["over_payment"]
    assert shop.books()[-1] == ("sale", "refunds_due", -20_000)
    assert shop.is_sound()


def test_money_for_an_order_that_is_paid_is_owed_back(shop):
    shop.call_back(shop.ask())
    assert shop.confirm(receipt="UKM9000002") == "booked"

    assert shop.status() == "paid"
    assert shop.books() == [
        *PAID_ONCE,
        ("payment", "mpesa", 150_000),
        ("payment", "refunds_due", -150_000),
    ]
    assert shop.tasks() == ["double_payment"]
    assert shop.is_sound()


@pytest.mark.parametrize("is_left", [True, False])
def test_money_for_an_expired_order_buys_it_if_everything_is_still_there(shop, database, is_left):
    shop.clock.advance(hours=1)
    with database.transaction() as session:
        assert expire_order(session, shop.order.id, shop.clock())
        if not is_left:
            buy(session, make_buyer(session), (session.merge(shop.product), 3))
    assert shop.confirm() == "booked"

    assert shop.status() == ("paid" if is_left else "expired")
    assert shop.tasks() == ([] if is_left else ["late_money"])
    with database.reading() as session:
        assert counts(session, shop.product) == ((2, 0) if is_left else (3, 3))
    assert shop.is_sound()


def test_the_rest_of_an_order_that_expired_in_parts_buys_it(shop, database):
    shop.confirm(amount="600.00", receipt="UKM9000001")
    shop.clock.advance(hours=2)
    with database.transaction() as session:
        assert expire_order(session, shop.order.id, shop.clock())
    assert shop.open_tasks() == ["late_money"]
    assert shop.confirm(amount="900.00", receipt="UKM9000002") == "booked"

    assert shop.status() == "paid"
    assert shop.held_cents() == 150_000
    assert shop.open_tasks() == []
    assert shop.is_sound()


def test_money_for_a_cancelled_order_is_owed_back(shop, database):
    with database.transaction() as session:
        cancel_order(session, actor_of(shop.buyer), shop.order.id, shop.clock())
    assert shop.confirm() == "booked"

    assert shop.status() == "cancelled"
    assert shop.tasks() == ["late_money"]
    assert shop.books() == [("payment", "mpesa", 150_000), ("payment", "refunds_due", -150_000)]
    assert shop.is_sound()


def test_a_part_of_a_cancelled_order_is_set_aside_and_the_rest_is_owed_too(shop, database):
    shop.confirm(amount="500.00", receipt="UKM9000001")
    with database.transaction() as session:
        cancel_order(session, actor_of(shop.buyer), shop.order.id, shop.clock())
    assert shop.confirm(amount="1000.00", receipt="UKM9000002") == "booked"

    assert shop.status() == "cancelled"
    assert sum(cents for _, account, cents in shop.books() if account == "refunds_due") == -150_000
    assert shop.is_sound()


def test_a_prompt_that_failed_is_paid_from_the_menu_and_late_news_of_it_are_that_money(shop):
    payment = shop.ask()
    shop.fail(payment)
    assert shop.confirm(receipt="UKM9000001") == "booked"
    assert shop.call_back(payment, receipt="UKM9000001") == "already_settled"

    assert shop.payments() == [
        ("stk_push", "failed", 150_000, None),
        ("paybill", "succeeded", 150_000, "UKM9000001"),
    ]
    assert shop.held_cents() == 150_000
    assert shop.is_sound()


def test_a_prompt_that_failed_and_was_paid_too_is_owed_back(shop):
    payment = shop.ask()
    shop.fail(payment)
    assert shop.confirm(receipt="UKM9000001") == "booked"
    assert shop.call_back(payment, receipt="UKM9000002") == "settled"
    assert shop.confirm(receipt="UKM9000002") == "known"

    assert shop.held_cents() == 300_000
    assert shop.tasks() == ["double_payment"]
    assert shop.is_sound()


@pytest.mark.parametrize("moment", ["20261122120000", "20261122115830", ""])
def test_a_query_that_names_no_receipt_tells_of_the_money_that_came_by_itself(shop, moment):
    """Also where M-Pesa's clock is a little behind ours."""
    payment = shop.ask()
    shop.fail(payment)
    assert shop.confirm(receipt="UKM9000001", moment=moment) == "booked"
    shop.hasten(payment)
    shop.query(payment)

    assert shop.payments()[0] == ("stk_push", "failed", 150_000, None)
    assert shop.held_cents() == 150_000
    assert shop.tasks() == []
    assert shop.is_sound()


@pytest.mark.parametrize(
    "told", [{"moment": "20261122110000"}, {"phone": "2547 ***** 777"}, {"amount": "1600.00"}]
)
def test_a_query_tells_of_other_money_than_came_earlier_or_from_another_phone(shop, told):
    payment = shop.ask()
    shop.fail(payment)
    assert shop.confirm(receipt="UKM9000001", **told) == "booked"
    shop.hasten(payment)
    shop.query(payment)

    assert shop.payments()[0] == ("stk_push", "succeeded", 150_000, None)
    assert shop.open_tasks()[-1] == "double_payment"
    assert shop.is_sound()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_phone_may_be_shown_in_any_shape(shop, database, shape):
    payment = shop.ask()
    assert shop.confirm(phone=SHAPES[shape]) == "settled"

    with database.reading() as session:
        assert session.get_one(MpesaReceipt, RECEIPT).payer_phone == SHAPES[shape]
        assert session.get_one(Payment, payment.id).msisdn == PHONE
    assert shop.is_sound()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_paybill_payment_has_a_phone_only_where_it_was_shown_whole(shop, database, shape):
    assert shop.confirm(phone=SHAPES[shape]) == "booked"
    with database.reading() as session:
        [msisdn] = session.scalars(select(Payment.msisdn))
    assert msisdn == (PHONE if shape in ("whole", "local") else None)


def test_money_from_another_phone_is_no_answer_to_the_prompt(shop):
    payment = shop.ask()
    assert shop.confirm(phone="2547 ***** 777", receipt="UKM9000001") == "booked"
    assert shop.call_back(payment) == "settled"

    assert shop.held_cents() == 300_000
    assert shop.tasks() == ["double_payment"]
    assert shop.is_sound()


TYPED_RIGHT = {
    "lower case": lambda number: number.lower(),
    "spaces": lambda number: f"  {number[:3]}  {number[3:]} ",
    "dashes": lambda number: f"{number[:3]}-{number[3:]}",
    "words": lambda number: f"Order {number}",
    "punctuation": lambda number: f"no.{number}!",
    "forty letters": lambda number: f"{number} for the shoes of my child thanks!"[:40],
}


@pytest.mark.parametrize("how", TYPED_RIGHT)
def test_a_number_is_found_however_it_is_typed(shop, how):
    assert shop.confirm(TYPED_RIGHT[how](shop.order.number)) == "booked"
    assert shop.status() == "paid"
    assert shop.is_sound()


@pytest.mark.parametrize(
    "typed",
    ["", "INV-2026-0017", "0700000001", "9" * 40, "<script>alert(1)</script>", "\\u0000 '--", "☺"],
)
def test_what_names_no_order_is_kept_as_it_came(shop, database, typed):
    assert shop.confirm(typed, phone="2547 ***** 777") == "unmatched"

    assert shop.status() == "pending"
    assert shop.receipts() == [(RECEIPT, "unmatched", 150_000)]
    with database.reading() as session:
        assert session.get_one(MpesaReceipt, RECEIPT).bill_reference == (typed or None)
        task = session.scalars(select(Task)).one()
    assert (task.kind, task.receipt, task.order_id) == ("unmatched_money", RECEIPT, None)
    assert shop.is_sound()


def test_one_wrong_character_is_suggested_and_never_booked(shop, database):
    number = shop.order.number
    slip = number[:2] + ("A" if number[2] != "A" else "B") + number[3:]
    assert shop.confirm(slip, amount="7.00") == "unmatched"

    assert shop.status() == "pending"
    with database.reading() as session:
        [description] = session.scalars(select(Task.description))
    assert repr(slip) in description
    assert f"It may be meant for {number}" in description
    assert shop.is_sound()


def test_two_numbers_are_none(shop):
    other = shop.another()
    assert shop.confirm(f"{shop.order.number} {other.number}") == "unmatched"
    assert (shop.status(), shop.status(other)) == ("pending", "pending")
    assert shop.is_sound()


def test_a_number_that_no_order_has_is_nobodys(shop):
    unused = new_order_number()
    assert shop.confirm(unused) == "unmatched"
    assert shop.is_sound()


def test_money_without_an_order_finds_it_when_later_news_name_it(shop):
    assert shop.confirm("RENT") == "unmatched"
    assert shop.confirm() == "booked"
    assert shop.confirm("RENT") == "known"

    assert shop.status() == "paid"
    assert shop.open_tasks() == []
    assert shop.held_cents() == 150_000
    assert shop.is_sound()


def test_money_without_an_order_is_the_prompts_when_its_callback_names_it(shop):
    payment = shop.ask()
    assert shop.confirm("RENT") == "unmatched"
    assert shop.call_back(payment) == "settled"

    assert shop.books() == PAID_ONCE
    assert shop.held_cents() == 150_000
    assert shop.open_tasks() == []
    assert shop.is_sound()


def test_an_order_that_was_paid_back_owes_what_comes_again(shop, database):
    shop.confirm(receipt="UKM9000001")
    with database.transaction() as session:
        session.get_one(Order, shop.order.id).status = OrderStatus.REFUNDED
    assert shop.confirm(receipt="UKM9000002") == "booked"

    assert shop.status() == "refunded"
    assert shop.tasks() == ["double_payment"]
    assert shop.held_cents() == 300_000
