"""Giving money back: asked for, approved, sent, followed until it is known what became of it."""

from app.services.refunds.apply_result import apply_refund_result
from app.services.refunds.decide_refund import approve_refund, reject_refund
from app.services.refunds.held import refunds_are_held
from app.services.refunds.look_after import Question, begin_question, remind_of_hand
from app.services.refunds.move_refund import hold_refund
from app.services.refunds.plan_refund import (
    RefundPlan,
    plan_refund,
    plan_refund_of_receipt,
)
from app.services.refunds.read_refunds import (
    ListedRefund,
    RefundFile,
    RefundFilter,
    RefundStanding,
    find_refund,
    find_refund_file,
    list_named_refunds,
    list_refunds,
    refunds_of_order,
    refunds_of_receipts,
)
from app.services.refunds.record_by_hand import record_by_hand, record_not_gone
from app.services.refunds.request_refund import request_refund, request_refund_of_receipt
from app.services.refunds.resolve_unknown import BookedFacts, BookedState, resolve_unknown
from app.services.refunds.send_refund import (
    RefundSending,
    begin_sending,
    find_money_request,
    record_sent,
)
from app.services.refunds.values import RefundNews, RefundRequest, RefundRules, RefundVerdict

__all__ = [
    "BookedFacts",
    "BookedState",
    "ListedRefund",
    "Question",
    "RefundFile",
    "RefundFilter",
    "RefundNews",
    "RefundPlan",
    "RefundRequest",
    "RefundRules",
    "RefundSending",
    "RefundStanding",
    "RefundVerdict",
    "apply_refund_result",
    "approve_refund",
    "begin_question",
    "begin_sending",
    "find_money_request",
    "find_refund",
    "find_refund_file",
    "hold_refund",
    "list_named_refunds",
    "list_refunds",
    "plan_refund",
    "plan_refund_of_receipt",
    "record_by_hand",
    "record_not_gone",
    "record_sent",
    "refunds_are_held",
    "refunds_of_order",
    "refunds_of_receipts",
    "reject_refund",
    "remind_of_hand",
    "request_refund",
    "request_refund_of_receipt",
    "resolve_unknown",
]
