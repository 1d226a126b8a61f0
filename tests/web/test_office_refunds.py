"""Money back in the office: asked for, looked at, done; and what the buyer sees of it."""

import re
from dataclasses import replace
from html import unescape

import pytest
from sqlalchemy import select

from app.context import WORK
from app.integrations.mpesa import MpesaUnavailable, MpesaUncertain
from app.models import InboxSource, MpesaRequest, Refund, RefundKind, User
from app.services.inbox import ReceivedMessage, finish_message
from app.services.receipts import ReceiptFacts
from app.services.receive_money import receive_money
from tests.core import after, database_snapshot
from tests.factories import NOW
from tests.inbox import keep_message
from tests.looking import is_sound
from tests.refunding import (
    PAID,
    ask_refund,
    did_not_go,
    hear,
    lose,
    make_sale,
    send,
    stray_money,
    went,
)
from tests.web.browsing import Browser, signed_in, words

_HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')
WISH = {"amount": "", "reason": "Too small", "method": "", "restock": "no", "seen_refunds": "0"}


@pytest.fixture
def admin(app, sale):
    return signed_in(app, sale.admin)


@pytest.fixture
def other_admin(app, sale):
    return signed_in(app, sale.other_admin)


def refunds(database) -> list[Refund]:
    with database.reading() as session:
        return list(session.scalars(select(Refund).order_by(Refund.id)))


def hidden_of(page) -> dict[str, str]:
    """What the second form carries; the page has others, such as that of the language."""
    found = {name: unescape(value) for name, value in _HIDDEN.findall(page.text)}
    return {name: value for name, value in found.items() if name in {*WISH, "sure"}}


def test_a_wish_is_shown_first_and_done_when_one_is_sure(admin, database, merchant, sale):
    address = f"/office/payments/{sale.payment.id}"
    form = admin.get(address)
    assert "Leave it empty for all that is left: KSh 1,500." in words(form)
    before = database_snapshot(database)
    sure = admin.post(f"{address}/refund", WISH)
    assert sure.status_code == 200
    shown = words(sure)
    for there in (
        "Give KSh 1,500 back?",
        f"M-Pesa receipt {sale.receipt}, KSh 1,500",
        "How Reversal: M-Pesa takes the whole payment back to who paid",
        "Why Too small",
        "The goods are not put back on the shelf",
        "It is sent at once, and cannot be called back.",
    ):
        assert there in shown, there
    assert (merchant.reversals, database_snapshot(database)) == ([], before)

    carried = hidden_of(sure)
    assert carried["sure"] == "yes"
    done = admin.post(f"{address}/refund", carried, follow=True)
    (refund,) = refunds(database)
    assert (refund.state, refund.kind, refund.reason, refund.requested_by) == (
        "pending",
        "reversal",
        "Too small",
        sale.admin.id,
    )
    assert done.request.path == f"/office/refunds/{refund.id}"
    assert "It is under way. M-Pesa will tell us when the money has gone." in words(done)
    assert len(merchant.reversals) == 1
    assert is_sound(database)


def test_the_second_form_sent_again_gives_nothing_back_twice(admin, database, merchant, sale):
    path = f"/office/payments/{sale.payment.id}/refund"
    carried = hidden_of(admin.post(path, {**WISH, "amount": "500"}))
    admin.post(path, carried)
    (refund,) = refunds(database)
    while_under_way = admin.post(path, carried)
    assert (while_under_way.status_code, len(refunds(database))) == (409, 1)
    assert "Another refund of this money is under way." in words(while_under_way)

    with database.transaction() as session:
        hear(session, session.get_one(Refund, refund.id), went())
    after_it_went = admin.post(path, carried)
    assert after_it_went.status_code == 409
    assert "Another refund of this money was asked for meanwhile." in words(after_it_went)
    assert (len(refunds(database)), len(merchant.payouts)) == (1, 1)
    assert is_sound(database)


def test_what_is_wrong_is_said_beside_its_field_and_nothing_is_kept(
    admin, database, merchant, sale
):
    path = f"/office/payments/{sale.payment.id}/refund"
    before = database_snapshot(database)
    for change, status, shown in (
        ({"reason": " "}, 400, "Please correct what is marked below."),
        ({"amount": "1.234"}, 400, "Please correct what is marked below."),
        ({"amount": "0"}, 400, "Please correct what is marked below."),
        ({"amount": "1501"}, 409, "So much is not left of this payment."),
        ({"amount": "500.50", "method": "payout"}, 400, "Please correct what is marked below."),
        ({"amount": "500", "method": "reversal"}, 409, "A reversal gives a whole payment back"),
        ({"amount": "500", "restock": "yes"}, 409, "Goods go back on the shelf only with"),
    ):
        answer = admin.post(path, {**WISH, **change})
        assert (answer.status_code, shown in words(answer)) == (status, True), change
        assert 'name="reason"' in answer.text  # the form is there again
    assert (merchant.payouts, database_snapshot(database)) == ([], before)


def test_a_part_is_paid_out_to_the_phone_that_paid(admin, database, merchant, sale):
    path = f"/office/payments/{sale.payment.id}/refund"
    sure = admin.post(path, {**WISH, "amount": "500"})
    phone = sale.payment.msisdn
    assert f"Phone 0{phone[3:6]} {phone[6:9]} {phone[9:]}" in words(sure)
    admin.post(path, hidden_of(sure))
    assert [(ask.msisdn, ask.amount_shillings) for ask in merchant.payouts] == [(phone, 500)]


@pytest.mark.parametrize(
    ("error", "news", "state"),
    [
        (MpesaUnavailable("down"), "M-Pesa did not take it, and nothing went back.", "failed"),
        (MpesaUncertain("read timeout"), "M-Pesa did not answer. It is asked", "unknown"),
    ],
)
def test_trouble_with_m_pesa_is_said_on_the_page_of_the_refund(
    admin, database, merchant, sale, error, news, state
):
    merchant.errors["reverse"] = error
    path = f"/office/payments/{sale.payment.id}/refund"
    carried = hidden_of(admin.post(path, WISH))
    shown = admin.post(path, carried, follow=True)
    assert shown.status_code == 200
    assert news in words(shown)
    assert [refund.state for refund in refunds(database)] == [state]
    assert is_sound(database)


def need_two(app) -> None:
    work = app.extensions[WORK]
    config = replace(work.config, refund_approval_above_shillings=1000)
    app.extensions[WORK] = replace(work, config=config)


def test_a_large_sum_is_approved_by_another_admin(
    app, admin, other_admin, database, merchant, sale
):
    need_two(app)
    path = f"/office/payments/{sale.payment.id}/refund"
    sure = admin.post(path, WISH)
    assert "It is a large sum: another admin approves it" in words(sure)
    waiting = admin.post(path, hidden_of(sure), follow=True)
    (refund,) = refunds(database)
    assert "It is on record. Another admin has to approve it." in words(waiting)
    assert "Another admin approves what you asked for." in words(waiting)
    assert "Yes, give KSh 1,500 back" not in words(waiting)
    own = admin.post(f"/office/refunds/{refund.id}/approve")
    assert (own.status_code, merchant.reversals) == (403, [])

    listed = other_admin.get("/office/refunds?status=awaiting_approval")
    assert f'href="/office/refunds/{refund.id}"' in listed.text
    shown = other_admin.get(f"/office/refunds/{refund.id}")
    assert "Yes, give KSh 1,500 back" in words(shown)
    done = other_admin.post(f"/office/refunds/{refund.id}/approve", follow=True)
    assert "It is under way." in words(done)
    assert f"Approved by {sale.other_admin.username}" in words(done)
    assert len(merchant.reversals) == 1
    assert is_sound(database)


def test_a_refund_is_called_off_with_a_reason(app, admin, database, sale):
    need_two(app)
    path = f"/office/payments/{sale.payment.id}/refund"
    admin.post(path, hidden_of(admin.post(path, WISH)))
    (refund,) = refunds(database)
    without = admin.post(f"/office/refunds/{refund.id}/reject")
    assert without.status_code == 400
    gone = admin.post(f"/office/refunds/{refund.id}/reject", {"reason": "A slip"}, follow=True)
    assert "It is called off." in words(gone)
    assert "A slip" in words(gone)
    assert refunds(database)[0].state == "rejected"
    again = admin.post(f"/office/refunds/{refund.id}/reject", {"reason": "A slip"})
    assert (again.status_code, "It can no longer be called off." in words(again)) == (409, True)


def test_what_is_done_by_hand_is_noted_with_its_receipt(admin, database, merchant, sale):
    path = f"/office/payments/{sale.payment.id}/refund"
    sure = admin.post(path, {**WISH, "method": "by_hand", "restock": "yes"})
    assert "You give the money back in M-Pesa's portal" in words(sure)
    assert "The goods go back on the shelf" in words(sure)
    page = admin.post(path, hidden_of(sure), follow=True)
    (refund,) = refunds(database)
    assert "Give the money back in M-Pesa's portal, then note its receipt." in words(page)
    assert "To be done by hand" in words(page)
    address = f"/office/refunds/{refund.id}/complete"
    wrong = admin.post(address, {"refund_receipt": sale.receipt})
    assert wrong.status_code == 400
    assert "This is the receipt of a payment." in words(wrong)
    done = admin.post(address, {"refund_receipt": "ukm0000r09"}, follow=True)
    assert "The money is booked as gone back. The buyer is told." in words(done)
    assert "Receipt of the refund UKM0000R09" in words(done)
    (kept,) = refunds(database)
    assert (kept.state, kept.restock, merchant.reversals) == ("succeeded", True, [])
    assert is_sound(database)


def test_what_nobody_knew_is_ended_by_who_looked(admin, database, sale):
    with database.transaction() as session:
        refund = ask_refund(session, sale.admin, sale.payment)
        lose(session, refund)
    address = f"/office/refunds/{refund.id}"
    page = admin.get(address)
    assert "Nobody knows yet whether the money went back." in words(page)
    ended = admin.post(f"{address}/fail", {"reason": "Not on the statement"}, follow=True)
    assert "It is booked as not gone. The payment may be refunded again." in words(ended)
    assert refunds(database)[0].state == "failed"
    noted = admin.post(f"{address}/complete", {"refund_receipt": "UKM0000R09"}, follow=True)
    assert "Paid back" in words(noted)
    assert is_sound(database)


def test_the_page_of_a_refund_shows_all_evidence_and_no_secret(admin, database, sale):
    body = b'{"Result":{"ResultCode":0,"Note":"<script>x</script>"}}'
    with database.transaction() as session:
        refund = ask_refund(session, sale.admin, sale.payment)
        request = send(session, refund)
        message = ReceivedMessage(
            InboxSource.API_RESULT, body, {}, "196.201.214.200", request_id=request.id
        )
        kept = keep_message(session, message, NOW)
        hear(session, refund, went())
        finish_message(kept, "refunded", NOW)
        secret_hash = session.get_one(MpesaRequest, request.id).secret_hash
    page = admin.get(f"/office/refunds/{refund.id}")
    shown = words(page)
    for there in (
        "Refund 1 Paid back KSh 1,500",
        f"Payment {sale.receipt}",
        "Receipt of the refund UKM0000R01",
        f"Asked for by {sale.admin.username}",
        "Reversal Answered",
        f"Conversation {request.conversation_id}",
        "At the secret address of a request",
        '"Note": "<script>x</script>"',
        f"Being sent 22 Nov, 12:00:00 , Asked for, by {sale.admin.username} Too small",
        "Under way 22 Nov, 12:00:00 , Sent to M-Pesa acknowledged",
        "Paid back 22 Nov, 12:00:00 , M-Pesa reported UKM0000R01",
        "Sales that were paid back KSh 1,499.50",
        "M-Pesa: money that we hold -KSh 1,500",
    ):
        assert there in shown, there
    assert "<script>x" not in page.text
    assert secret_hash not in page.text


def test_refunds_are_found_by_their_state_and_receipt(admin, database, sale):
    with database.transaction() as session:
        other = make_sale(session)
        failed = ask_refund(session, sale.admin, sale.payment)
        send(session, failed)
        hear(session, failed, did_not_go())
        by_hand = ask_refund(session, sale.admin, other.payment, method=RefundKind.BY_HAND)

    def found(query: str) -> set[int]:
        answer = admin.get(f"/office/refunds?{query}")
        assert answer.status_code == 200, query
        both = (failed, by_hand)
        return {one.id for one in both if f'href="/office/refunds/{one.id}"' in answer.text}

    assert found("") == {failed.id, by_hand.id}
    assert found("status=failed") == found(f"receipt=+{sale.receipt.lower()}") == {failed.id}
    assert found("status=created") == {by_hand.id}
    assert found("receipt=NOSUCH") == found("first_day=2026-11-23") == set()
    assert admin.get("/office/refunds?status=lost").status_code == 400
    assert admin.get("/office/refunds/999").status_code == 404


def test_nobody_but_an_admin_opens_any_of_it(app, database, sale):
    with database.transaction() as session:
        refund = ask_refund(session, sale.admin, sale.payment)
        seller = session.get_one(User, sale.boots.seller_id)
    browsers = [signed_in(app, person) for person in (seller, sale.buyer)]
    before = database_snapshot(database)
    for browser in browsers:
        for address in ("/office/refunds", f"/office/refunds/{refund.id}"):
            assert browser.get(address).status_code == 403, address
        for address in (
            f"/office/payments/{sale.payment.id}/refund",
            f"/office/refunds/{refund.id}/approve",
            f"/office/refunds/{refund.id}/complete",
        ):
            assert browser.post(address, WISH).status_code == 403, address
    assert Browser(app).get("/office/refunds").status_code == 303
    assert database_snapshot(database) == before


def test_a_seller_is_told_to_send_nothing_while_the_money_goes_back(app, database, sale):
    with database.transaction() as session:
        seller = session.get_one(User, sale.boots.seller_id)
        ask_refund(session, sale.admin, sale.payment)
    browser = signed_in(app, seller)
    page = browser.get(f"/office/orders/{sale.order.id}")
    assert "The money of this order is on its way back to the buyer. Send nothing." in words(page)
    assert "Mark as sent" not in words(page)
    assert "Give money back" not in words(page)
    refused = browser.post(f"/office/orders/{sale.order.id}/fulfil", {"status": "shipped"})
    assert refused.status_code == 409


def test_the_order_of_one_payment_has_the_form_and_of_two_the_way_to_each(admin, database, sale):
    address = f"/office/orders/{sale.order.id}"
    page = admin.get(address)
    assert f'action="/office/payments/{sale.payment.id}/refund"' in page.text
    with database.transaction() as session:
        double = ReceiptFacts("UKM0DOUBLE", PAID, "c2b", sale.order.number)
        receive_money(session, double, NOW)
    page = admin.get(address)
    assert 'name="seen_refunds"' not in page.text
    for receipt in (sale.receipt, "UKM0DOUBLE"):
        assert f'#refund">{receipt}</a>' in page.text


def test_money_without_an_order_is_sent_back_from_its_receipt(app, admin, database, merchant, sale):
    with database.transaction() as session:
        receipt = stray_money(session, payer_name="JOHN")
    address = f"/office/receipts/{receipt}/refund"
    page = admin.get(f"/office/receipts/{receipt.lower()}/refund")
    assert page.status_code == 200
    assert "All of it goes back: KSh 700." in words(page)
    wish = {"reason": "Not ours", "method": "", "seen_refunds": "0"}
    sure = admin.post(address, wish)
    assert f"M-Pesa receipt {receipt}, KSh 700" in words(sure)
    done = admin.post(address, hidden_of(sure), follow=True)
    assert "of money without an order" in words(done)
    assert [ask.receipt for ask in merchant.reversals] == [receipt]
    again = admin.post(address, hidden_of(sure))
    assert again.status_code == 409
    assert admin.get(f"/office/receipts/{sale.receipt}/refund").status_code == 404
    assert is_sound(database)


def test_a_task_about_a_refund_or_stray_money_leads_there(admin, database, sale):
    with database.transaction() as session:
        receipt = stray_money(session)
        refund = ask_refund(session, sale.admin, sale.payment)
        send(session, refund)
        hear(session, refund, did_not_go())
    queue = admin.get("/office/exceptions").text
    numbers = sorted(set(re.findall(r"/office/exceptions/(\d+)\"", queue)))
    pages = [admin.get(f"/office/exceptions/{number}").text for number in numbers]
    assert any(f'href="/office/refunds/{refund.id}"' in page for page in pages)
    assert any(f'href="/office/receipts/{receipt}/refund"' in page for page in pages)


def test_the_buyer_sees_what_is_on_its_way_and_what_went(app, database, sale):
    browser = signed_in(app, sale.buyer)
    address = f"/my/orders/{sale.order.id}"
    with database.transaction() as session:
        refund = ask_refund(session, sale.admin, sale.payment, amount_cents=50_000)
        send(session, refund)
    page = words(browser.get(address))
    assert "Money back On its way back KSh 500" in page
    assert "Went back to you" not in page
    with database.transaction() as session:
        hear(session, session.get_one(Refund, refund.id), went(), after(hours=1))
    page = words(browser.get(address))
    assert "Paid KSh 1,500 Went back to you KSh 500" in page
    assert "Paid back KSh 500 22 Nov 2026, 13:00 · UKM0000R01" in page
    receipt = words(browser.get(f"{address}/receipt"))
    assert f"M-Pesa receipt {sale.receipt}, KSh 1,500" in receipt
    assert "Went back to you KSh 500, 22 Nov 2026, UKM0000R01" in receipt
    assert "Paid by M-Pesa: KSh 1,500 Of that, KSh 500 went back to you." in receipt


def test_the_buyer_keeps_a_receipt_of_an_order_whose_money_went_back_whole(app, database, sale):
    with database.transaction() as session:
        refund = ask_refund(session, sale.admin, sale.payment)
        send(session, refund)
        hear(session, refund, went())
    browser = signed_in(app, sale.buyer)
    page = browser.get(f"/my/orders/{sale.order.id}")
    assert f'href="/my/orders/{sale.order.id}/receipt"' in page.text
    assert "Your money was sent back" in words(page)
    receipt = words(browser.get(f"/my/orders/{sale.order.id}/receipt"))
    assert "Of that, KSh 1,500 went back to you." in receipt


@pytest.mark.parametrize("stage", ["awaiting_approval", "failed"])
def test_the_buyer_is_not_told_of_what_may_never_go(app, database, sale, stage):
    with database.transaction() as session:
        refund = ask_refund(session, sale.admin, sale.payment)
        refund.state = stage
    page = words(signed_in(app, sale.buyer).get(f"/my/orders/{sale.order.id}"))
    assert "Money back" not in page


def test_it_is_all_there_in_swahili(app, admin, database, sale):
    with database.transaction() as session:
        refund = ask_refund(session, sale.admin, sale.payment)
        lose(session, refund)
    admin.client.set_cookie("sokoni_language", "sw")
    page = words(admin.get(f"/office/refunds/{refund.id}"))
    assert "Bado hakuna anayejua kama pesa zimerudishwa." in page
    assert "Urejeshaji 1" in page
    path = f"/office/payments/{sale.payment.id}/refund"
    assert "Urejeshaji mwingine wa pesa hizi unaendelea." in words(admin.post(path, WISH))


def test_a_refund_that_is_over_says_what_is_still_asked_or_nothing(
    admin, database, sale, other_admin
):
    with database.transaction() as session:
        refund = ask_refund(session, session.merge(sale.admin), session.merge(sale.payment))
        refund_id = refund.id
        send(session, refund)
    address = f"/office/refunds/{refund_id}"
    assert "Next check 22 Nov 2026, 12:00" in words(admin.get(address))
    with database.transaction() as session:
        hear(session, session.get_one(Refund, refund_id), went(), after(minutes=1))
    shown = words(admin.get(address))
    assert "Next check" not in shown
    assert "M-Pesa is asked to confirm it 22 Nov 2026, 12:" in shown
    with database.transaction() as session:
        session.get_one(Refund, refund_id).next_check_at = None
    assert "M-Pesa is asked to confirm it" not in words(admin.get(address))


def test_what_a_refund_by_hand_is_looked_at_for_is_a_reminder(admin, database, sale):
    with database.transaction() as session:
        refund = ask_refund(
            session,
            session.merge(sale.admin),
            session.merge(sale.payment),
            method=RefundKind.BY_HAND,
        )
        refund_id = refund.id
    shown = words(admin.get(f"/office/refunds/{refund_id}"))
    assert "You are reminded of it 23 Nov 2026, 12:00" in shown
    assert "Next check" not in shown
