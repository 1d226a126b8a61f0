"""Money that is given back, for tests: one line for each step of a refund."""

from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import (
    MpesaRequest,
    Order,
    Payment,
    Product,
    Refund,
    RefundEvent,
    RefundKind,
    RequestKind,
    RequestState,
    Task,
    User,
)
from app.policies import Role
from app.ports import RequestAccepted
from app.services.mpesa_requests import Answer, NamedIds, note_answer, record_acknowledgement
from app.services.receipts import ReceiptFacts
from app.services.receive_money import receive_money
from app.services.refunds import (
    RefundNews,
    RefundRequest,
    RefundRules,
    RefundVerdict,
    apply_refund_result,
    begin_sending,
    find_money_request,
    record_sent,
    reject_refund,
    request_refund,
    request_refund_of_receipt,
)
from app.utils.callback_secret import CallbackSecret
from tests.core import after, ask_to_pay, buy, make_buyer, pay
from tests.factories import NOW, actor_of, make_product, make_user

RULES = RefundRules(
    approval_above_shillings=10_000,
    can_reverse=True,
    can_pay_out=True,
    max_amount_shillings=250_000,
    first_check_seconds=30,
    by_hand_check_seconds=86_400,
)
NEEDS_TWO = replace(RULES, approval_above_shillings=0)
TOTAL = 149_950
PAID = 150_000
LONGER = after(minutes=30)


@dataclass
class Sale:
    """A paid order of one pair of boots (KES 1499.50, paid with KES 1500), and two admins."""

    buyer: User
    boots: Product
    order: Order
    payment: Payment
    admin: User
    other_admin: User

    @property
    def receipt(self) -> str:
        return self.payment.mpesa_receipt


def make_sale(session: Session, *, price_cents: int = TOTAL, stock: int = 5) -> Sale:
    buyer = make_buyer(session)
    boots = make_product(session, name="Boots", stock=stock, price_cents=price_cents)
    order = buy(session, buyer, (boots, 1))
    payment = ask_to_pay(session, order)
    pay(session, payment)
    payment.next_check_at = None  # the confirmation is another test's
    session.flush()
    session.refresh(payment)
    admins = [make_user(session, Role.ADMIN) for _ in range(2)]
    return Sale(buyer, boots, order, payment, *admins)


def ask_refund(
    session: Session,
    admin: User,
    payment: Payment | str,
    *,
    now=NOW,
    rules: RefundRules = RULES,
    reason: str = "Too small",
    **ask,
) -> Refund:
    """A refund on record, of a payment or of a receipt that has no order."""
    wanted = RefundRequest(reason, **ask)
    actor = actor_of(admin)
    if isinstance(payment, str):
        return request_refund_of_receipt(session, actor, payment, wanted, rules, now)
    return request_refund(session, actor, payment.id, wanted, rules, now)


def begin(session: Session, refund: Refund, now=NOW) -> MpesaRequest:
    """The request is on record and nobody knows whether it was sent."""
    sending = begin_sending(session, refund.id, CallbackSecret.new(), now, lease_seconds=60)
    assert sending is not None
    return session.get_one(MpesaRequest, sending.request_id)


def send(session: Session, refund: Refund, now=NOW) -> MpesaRequest:
    """It was sent and acknowledged."""
    request = begin(session, refund, now)
    record_sent(
        session, refund.id, RequestState.SENT, "acknowledged", now, next_check_at=after(seconds=30)
    )
    ids = RequestAccepted(f"AG_{request.id}", f"orig-{request.id}")
    record_acknowledgement(session, request.id, ids, now)
    return request


def lose(session: Session, refund: Refund, now=NOW) -> MpesaRequest:
    """It was sent, and no acknowledgement came: nobody knows."""
    request = begin(session, refund, now)
    record_sent(
        session, refund.id, RequestState.UNKNOWN, "timeout", now, next_check_at=after(seconds=30)
    )
    request.state = RequestState.UNKNOWN
    session.flush()
    return request


def went(receipt: str | None = "UKM0000R01", **fields) -> RefundNews:
    return RefundNews(
        **{
            "source": "result",
            "verdict": RefundVerdict.WENT,
            "sentence": "M-Pesa gave the money back.",
            "result_code": "0",
            "receipt": receipt,
            **fields,
        }
    )


def did_not_go(code: str = "1", **fields) -> RefundNews:
    return RefundNews(
        **{
            "source": "result",
            "verdict": RefundVerdict.DID_NOT_GO,
            "sentence": "Our M-Pesa account holds too little.",
            "result_code": code,
            **fields,
        }
    )


def nobody_knows(code: str | None = None, **fields) -> RefundNews:
    return RefundNews(
        **{
            "source": "result" if code else "silence",
            "verdict": RefundVerdict.NOBODY_KNOWS,
            "sentence": "M-Pesa failed inside.",
            "result_code": code,
            **fields,
        }
    )


def hear(session: Session, refund: Refund, news: RefundNews, now=NOW) -> str:
    """News of a refund that was sent, with its request answered as the job does first."""
    request = find_money_request(session, refund.id)
    if request is not None and news.source == "result":
        ids = NamedIds(request.conversation_id or "", request.originator_id or "")
        answer = Answer(news.result_code or "0", news.sentence, ids)
        note_answer(session, request.id, answer, now)
    return apply_refund_result(session, refund.id, news, now)


def bring_to(
    session: Session, sale: Sale, state: str, *, receipt: str | None = "UKM0000R01"
) -> Refund:
    """The reversal of the whole payment, in this state by an honest way; ``receipt`` is what its
    result names where it succeeds.
    """
    if state in ("awaiting_approval", "rejected"):
        refund = ask_refund(session, sale.admin, sale.payment, rules=NEEDS_TWO)
        if state == "rejected":
            reject_refund(session, actor_of(sale.other_admin), refund.id, "No", NOW)
        return refund
    refund = ask_refund(session, sale.admin, sale.payment)
    act = {"created": begin, "unknown": lose}.get(state, send)
    act(session, refund)
    if state == "failed":
        hear(session, refund, did_not_go())
    elif state == "succeeded":
        hear(session, refund, went(receipt))
    assert refund.state == state
    return refund


def refund_whole(session: Session, sale: Sale, receipt: str = "UKM0000R01", **ask) -> Refund:
    """A refund that went through."""
    refund = ask_refund(session, sale.admin, sale.payment, **ask)
    send(session, refund)
    assert hear(session, refund, went(receipt)) == "refunded"
    return refund


def stray_money(session: Session, receipt: str = "UKM00STRAY", cents: int = 70_000, **facts) -> str:
    """Money that came without an order."""
    receive_money(session, ReceiptFacts(receipt, cents, "c2b", "RENT", **facts), NOW)
    return receipt


def steps(session: Session, refund: Refund) -> list[tuple]:
    """(from, to, source) of a refund's history."""
    return [
        tuple(row)
        for row in session.execute(
            select(RefundEvent.from_state, RefundEvent.to_state, RefundEvent.source)
            .where(RefundEvent.refund_id == refund.id)
            .order_by(RefundEvent.id)
        )
    ]


def open_tasks(session: Session) -> list[str]:
    return list(session.scalars(select(Task.kind).where(Task.status != "done").order_by(Task.id)))


def questions(session: Session, refund: Refund) -> list[MpesaRequest]:
    return list(
        session.scalars(
            select(MpesaRequest)
            .where(MpesaRequest.refund_id == refund.id, MpesaRequest.kind == RequestKind.STATUS)
            .order_by(MpesaRequest.id)
        )
    )


WAYS = tuple(RefundKind)
