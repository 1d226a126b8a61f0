"""What happened in the demo shop before today, played through the services that do it for real."""

import random
import string
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy.orm import Session

from app.jobs.check_payment import failure_of
from app.models import Order, OrderStatus, Payment
from app.policies import Actor
from app.services.end_order import cancel_order, expire_order
from app.services.fail_payment import fail_payment
from app.services.move_order import fulfil_order
from app.services.payment_evidence import Proof
from app.services.place_order import OrderRequest, OrderRules, WantedLine, place_order
from app.services.record_push import record_acceptance
from app.services.request_payment import PaymentRequest, PaymentRules, request_payment
from app.services.settle_payment import settle_payment
from app.utils.callback_secret import CallbackSecret
from app.utils.clock import EAT

RULES = OrderRules(expiry_seconds=900, max_open_orders=20, max_amount_shillings=250_000)
PAYMENT_RULES = PaymentRules(
    max_amount_shillings=250_000,
    prompts_per_phone_10_minutes=3,
    prompts_per_phone_day=10,
    first_check_seconds=30,
)
PAID = "The service request is processed successfully."
CANCELLED = ("1032", "Request cancelled by user.")
UNREACHABLE = ("1037", "DS timeout user cannot be reached.")


class Story(StrEnum):
    """How an order went."""

    DELIVERED = "delivered"
    SHIPPED = "shipped"
    PAID = "paid"
    PAID_AT_SECOND_TRY = "paid at the second try"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class DemoOrder:
    """``lines`` are SKUs with quantities; the hour is Nairobi's."""

    days_ago: int
    hour: int
    story: Story
    lines: tuple[tuple[str, int], ...]
    address: str = "Moi Avenue 12, Nairobi"


PAST = (
    DemoOrder(13, 9, Story.DELIVERED, (("UNGA-2", 3), ("TEA-500", 1), ("SOAP-BAR", 2))),
    DemoOrder(12, 14, Story.DELIVERED, (("KIONDO-M", 1), ("SHUKA-R", 1)), "Kilimani, Nairobi"),
    DemoOrder(10, 11, Story.CANCELLED, (("STONE-CHS", 1),)),
    DemoOrder(9, 18, Story.DELIVERED, (("CABLE-C", 2), ("CHG-20", 1)), "Nakuru town"),
    DemoOrder(8, 8, Story.DELIVERED, (("RICE-5", 1), ("OIL-3", 1), ("NDENGU-1", 2))),
    DemoOrder(6, 20, Story.EXPIRED, (("PBANK-10", 1),)),
    DemoOrder(5, 12, Story.PAID_AT_SECOND_TRY, (("COF-NYE", 2), ("HONEY-500", 1)), "Thika"),
    DemoOrder(4, 16, Story.DELIVERED, (("SANDAL-M", 1), ("KIKOI-B", 1)), "Nyali, Mombasa"),
    DemoOrder(3, 10, Story.SHIPPED, (("SOLAR-L", 2),), "Kisumu, Oginga Odinga Street"),
    DemoOrder(2, 13, Story.SHIPPED, (("STONE-BOW", 1), ("TRAY-MAK", 1))),
    DemoOrder(1, 9, Story.PAID, (("WIMBI-1", 2), ("PILAU-50", 3), ("MACNUT", 1))),
    DemoOrder(1, 17, Story.PAID, (("KHANGA-1", 1), ("SHEA-200", 2)), "Eldoret"),
)


@dataclass(frozen=True, slots=True)
class Player:
    """Plays the past of one customer; ``dice`` makes what Safaricom would have made."""

    session: Session
    customer: Actor
    admin: Actor
    products: dict[str, int]
    now: datetime
    dice: random.Random

    def play(self, past: DemoOrder) -> Order:
        """Afterwards the order is where its story ends, with every row that this takes."""
        moment = self._moment_of(past)
        order = self._place(past, moment)
        minute = timedelta(minutes=1)
        if past.story is Story.CANCELLED:
            return cancel_order(self.session, self.customer, order.id, moment + 5 * minute)
        if past.story is Story.EXPIRED:
            self._fail(order, moment + minute, UNREACHABLE)
            expire_order(self.session, order.id, order.expires_at + minute)
            return order
        if past.story is Story.PAID_AT_SECOND_TRY:
            self._fail(order, moment + minute, CANCELLED)
        self._pay(order, moment + 3 * minute)
        self._send(order, past.story, moment)
        return order

    def _moment_of(self, past: DemoOrder) -> datetime:
        day = self.now.astimezone(EAT) - timedelta(days=past.days_ago)
        minute, second = self.dice.randrange(60), self.dice.randrange(60)
        at = day.replace(hour=past.hour, minute=minute, second=second, microsecond=0)
        return min(at, self.now - timedelta(hours=1))

    def _place(self, past: DemoOrder, moment: datetime) -> Order:
        lines = tuple(WantedLine(self.products[sku], quantity) for sku, quantity in past.lines)
        ask = OrderRequest(lines=lines, delivery_address=past.address)
        return place_order(self.session, self.customer, ask, RULES, moment)

    def _ask(self, order: Order, moment: datetime) -> Payment:
        payment = request_payment(
            self.session,
            self.customer,
            PaymentRequest(order_id=order.id),
            CallbackSecret.new(),
            PAYMENT_RULES,
            moment,
        )
        local = moment.astimezone(EAT)
        digits = "".join(self.dice.choices(string.digits, k=12))
        record_acceptance(
            self.session,
            payment.id,
            f"{digits[:5]}-{digits[5:]}-1",
            f"ws_CO_{local:%d%m%Y%H%M%S}{digits[:3]}{payment.prompted_msisdn[-9:]}",
            moment + timedelta(seconds=1),
        )
        return payment

    def _fail(self, order: Order, moment: datetime, reason: Sequence[str]) -> None:
        payment = self._ask(order, moment)
        code, description = reason
        failure = failure_of(code, description, source="callback")
        fail_payment(self.session, payment.id, failure, moment + timedelta(seconds=24))

    def _pay(self, order: Order, moment: datetime) -> None:
        payment = self._ask(order, moment)
        paid_at = moment + timedelta(seconds=self.dice.randrange(8, 30))
        proof = Proof(
            source="callback",
            result_code="0",
            result_desc=PAID,
            receipt=self._receipt(paid_at),
            amount_verified=True,
        )
        settle_payment(self.session, payment.id, proof, paid_at)

    def _receipt(self, moment: datetime) -> str:
        """Ten characters as M-Pesa prints them: year, month and day, then seven of its own."""
        local = moment.astimezone(EAT)
        year = string.ascii_uppercase[(local.year - 2006) % 26]
        month = string.ascii_uppercase[local.month - 1]
        day = (string.digits[1:] + string.ascii_uppercase)[local.day - 1]
        rest = self.dice.choices(string.ascii_uppercase + string.digits, k=7)
        return year + month + day + "".join(rest)

    def _send(self, order: Order, story: Story, moment: datetime) -> None:
        """Take the order as far as its story says, but not into the future."""
        steps = {
            Story.DELIVERED: (OrderStatus.SHIPPED, OrderStatus.DELIVERED),
            Story.SHIPPED: (OrderStatus.SHIPPED,),
            Story.PAID_AT_SECOND_TRY: (OrderStatus.SHIPPED,),
        }.get(story, ())
        for day, step in enumerate(steps, start=1):
            at = min(moment + timedelta(days=day, hours=2), self.now)
            fulfil_order(self.session, self.admin, order.id, step, at)
