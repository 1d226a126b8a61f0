"""Explaining shillings: each way in which two books may differ, as a table of small cases."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from drill.books import compare
from drill.values import Attempt, Booking, Fault, Matter, Movement, Subject, What

NOW = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)
RECEIPT, OTHER_RECEIPT = "UKQ1AAAAAA", "UKQ1BBBBBB"
CHECKOUT, OTHER_CHECKOUT = "ws_CO_1", "ws_CO_2"
ORDER, OTHER_ORDER = "ABC2345", "XYZ6789"
PHONE = "254712345678"


def moved(receipt=RECEIPT, cents=10_000, order=ORDER, checkout=CHECKOUT, phone=PHONE) -> Movement:
    names = frozenset(name for name in (receipt, checkout) if name)
    return Movement(receipt, cents, order, phone, names, NOW)


def payment(number=7) -> Subject:
    return Subject(What.PAYMENT, number)


def refund(number=3) -> Subject:
    return Subject(What.REFUND, number)


def booked(event_id=1, cents=10_000, order=ORDER, names=(CHECKOUT,), **more) -> Booking:
    more = {"receipt": None, "about": payment(), **more}
    return Booking(event_id, cents, order, frozenset(names), booked_at=NOW, **more)


def asked(payment_id=7, order=ORDER, names=(CHECKOUT,), phone=PHONE, status="unknown") -> Attempt:
    return Attempt(payment(payment_id), status, frozenset(names), order, phone)


def faults_of(comparison):
    return [(one.fault, one.subject, one.cents) for one in comparison.unexplained]


def is_explained(comparison) -> bool:
    return not comparison.unexplained and not comparison.differences


def test_nothing_moved_and_nothing_booked_is_explained():
    assert is_explained(compare([], [], [], []))


@pytest.mark.parametrize(
    "booking",
    [
        booked(),
        booked(receipt=RECEIPT),
        booked(names=(RECEIPT,), receipt=RECEIPT),
        booked(names=(CHECKOUT, RECEIPT), receipt=RECEIPT),
    ],
)
def test_money_is_found_by_each_of_its_names(booking):
    comparison = compare([moved()], [booking], [asked()], [])
    assert is_explained(comparison)
    assert comparison.matched == [(moved(), booking)]


def test_money_in_no_book_and_no_task_is_lost():
    comparison = compare([moved()], [], [asked()], [])
    assert faults_of(comparison) == [(Fault.LOST, RECEIPT, 10_000)]
    assert comparison.differences == {ORDER: -10_000}


@pytest.mark.parametrize("kind", ["unknown_payment", "wrong_amount", "receipt_conflict"])
def test_money_in_no_book_is_with_the_person_who_was_told_of_its_payment(kind):
    comparison = compare([moved()], [], [asked()], [Matter(kind, payment())])
    assert is_explained(comparison)
    assert comparison.held == [moved()]


@pytest.mark.parametrize(
    "matter",
    [
        Matter("manual", payment()),
        Matter("mpesa_configuration", payment()),
        Matter("double_payment", payment()),
        Matter("unknown_payment", payment(8)),
        Matter("unknown_payment", receipt=RECEIPT),
        Matter("unknown_refund", refund(), RECEIPT),
        Matter("unknown_payment", receipt=OTHER_RECEIPT),
    ],
)
def test_a_task_about_something_else_explains_no_lost_money(matter):
    comparison = compare([moved()], [], [asked()], [matter])
    assert faults_of(comparison) == [(Fault.LOST, RECEIPT, 10_000)]


@pytest.mark.parametrize("status", ["succeeded", "refunded"])
def test_an_old_task_explains_no_money_that_the_shop_takes_for_paid(status):
    told = [Matter("unknown_payment", payment())]
    comparison = compare([moved()], [], [asked(status=status)], told)
    assert faults_of(comparison) == [(Fault.LOST, RECEIPT, 10_000)]


def test_money_whose_prompt_never_got_an_id_is_known_by_order_and_phone():
    nameless, other = asked(names=()), asked(8, names=(), phone="254799999999")
    told = [Matter("unknown_payment", payment())]
    assert is_explained(compare([moved()], [], [nameless, other], told))
    assert compare([moved()], [], [other], told).count(Fault.LOST) == 1


def test_a_task_about_another_attempt_of_the_order_explains_nothing():
    """The first prompt was let go and a person told; the second paid, and was forgotten."""
    attempts = [asked(7, names=()), asked(8, names=(CHECKOUT,))]
    comparison = compare([moved()], [], attempts, [Matter("unknown_payment", payment())])
    assert comparison.count(Fault.LOST) == 1


def test_one_movement_booked_twice_is_doubled():
    comparison = compare([moved()], [booked(1), booked(2, names=(RECEIPT,))], [asked()], [])
    assert faults_of(comparison) == [(Fault.DOUBLED, RECEIPT, 10_000)]
    assert comparison.differences == {ORDER: 10_000}


def test_two_movements_under_one_booking_leave_one_of_them_lost():
    both = [moved(), moved(OTHER_RECEIPT)]
    comparison = compare(both, [booked()], [asked()], [])
    assert faults_of(comparison) == [(Fault.LOST, OTHER_RECEIPT, 10_000)]


def test_money_that_never_moved_is_invented():
    comparison = compare([], [booked()], [asked()], [])
    assert faults_of(comparison) == [(Fault.INVENTED, "event 1", 10_000)]
    assert comparison.differences == {ORDER: 10_000}


def test_money_that_never_moved_is_disputed_where_a_person_was_told():
    comparison = compare([], [booked()], [asked()], [Matter("disputed_payment", payment())])
    assert is_explained(comparison)
    assert comparison.disputed == [booked()]


@pytest.mark.parametrize("kind", ["unknown_payment", "late_money"])
def test_other_tasks_explain_no_invented_money(kind):
    comparison = compare([], [booked()], [asked()], [Matter(kind, payment())])
    assert comparison.count(Fault.INVENTED) == 1


def test_another_amount_in_the_books_is_wrong_by_the_difference():
    comparison = compare([moved()], [booked(cents=10_100)], [asked()], [])
    assert faults_of(comparison) == [(Fault.WRONG_AMOUNT, RECEIPT, 100)]
    assert comparison.differences == {ORDER: 100}


def test_money_booked_for_another_order_is_wrong_on_both():
    comparison = compare([moved()], [booked(order=OTHER_ORDER)], [asked()], [])
    assert faults_of(comparison) == [(Fault.WRONG_ORDER, RECEIPT, 10_000)]
    assert comparison.differences == {ORDER: -10_000, OTHER_ORDER: 10_000}


def test_two_payments_that_were_swapped_are_seen_although_the_sum_is_right():
    movements = [moved(), moved(OTHER_RECEIPT, order=OTHER_ORDER, checkout=OTHER_CHECKOUT)]
    bookings = [booked(1, order=OTHER_ORDER), booked(2, order=ORDER, names=(OTHER_CHECKOUT,))]
    comparison = compare(movements, bookings, [], [])
    assert comparison.count(Fault.WRONG_ORDER) == 2


def test_another_receipt_is_wrong_unless_a_person_was_told_of_the_conflict():
    booking = booked(receipt=OTHER_RECEIPT)
    comparison = compare([moved()], [booking], [asked()], [])
    assert faults_of(comparison) == [(Fault.WRONG_RECEIPT, RECEIPT, 10_000)]
    told = [Matter("receipt_conflict", payment())]
    assert is_explained(compare([moved()], [booking], [asked()], told))


def test_which_of_two_payments_of_an_order_the_prompt_brought_does_not_matter():
    """Both receipts are in the books; the one from the menu is called the answer to the prompt."""
    movements = [moved(), moved(OTHER_RECEIPT, checkout=None)]
    bookings = [
        booked(1, names=(CHECKOUT, OTHER_RECEIPT), receipt=OTHER_RECEIPT),
        booked(2, names=(RECEIPT,), receipt=RECEIPT, about=payment(8)),
    ]
    comparison = compare(movements, bookings, [asked()], [])
    assert is_explained(comparison)
    assert comparison.matched == [(movements[0], bookings[1]), (movements[1], bookings[0])]


def test_a_prompts_money_may_be_booked_for_nobody_only_where_a_person_is_told():
    booking = booked(order=None, names=(RECEIPT,), about=None)
    assert compare([moved()], [booking], [], []).count(Fault.WRONG_ORDER) == 1
    told = [Matter("unmatched_money", receipt=RECEIPT)]
    assert is_explained(compare([moved()], [booking], [], told))


class TestMoneyThatCameByItself:
    """To the paybill: no prompt, and the payer typed the account."""

    came = replace(moved(checkout=None), is_from_menu=True)

    def test_with_a_right_account_it_is_booked_for_that_order(self):
        booking = booked(names=(RECEIPT,), receipt=RECEIPT)
        assert is_explained(compare([self.came], [booking], [], []))

    def test_with_a_right_account_no_other_order_may_have_it(self):
        booking = booked(order=OTHER_ORDER, names=(RECEIPT,), receipt=RECEIPT)
        assert compare([self.came], [booking], [], []).count(Fault.WRONG_ORDER) == 1

    def test_with_a_wrong_account_a_person_may_give_it_to_any_order(self):
        came = moved(checkout=None, order=None)
        booking = booked(order=OTHER_ORDER, names=(RECEIPT,), receipt=RECEIPT)
        assert is_explained(compare([came], [booking], [], []))

    def test_with_a_wrong_account_its_payers_order_may_have_it_and_no_other(self):
        came = replace(moved(checkout=None, order=None), meant=ORDER)
        booking = booked(names=(RECEIPT,), receipt=RECEIPT)
        assert is_explained(compare([came], [booking], [], []))
        stolen = booked(order=OTHER_ORDER, names=(RECEIPT,), receipt=RECEIPT)
        comparison = compare([came], [stolen], [], [Matter("unmatched_money", receipt=RECEIPT)])
        assert faults_of(comparison) == [(Fault.WRONG_ORDER, RECEIPT, 10_000)]

    @pytest.mark.parametrize("meant", [None, ORDER])
    def test_with_a_wrong_account_it_is_booked_for_nobody_only_while_a_person_is_told(self, meant):
        came = replace(moved(checkout=None, order=None), meant=meant)
        booking = booked(order=None, names=(RECEIPT,), about=None)
        told = Matter("unmatched_money", receipt=RECEIPT)
        comparison = compare([came], [booking], [], [told])
        assert is_explained(comparison)
        assert comparison.placeless == [booking]
        for tasks in (
            [],
            [replace(told, is_open=False)],
            [replace(told, receipt=OTHER_RECEIPT)],
            [Matter("statement_difference", receipt=RECEIPT)],
        ):
            comparison = compare([came], [booking], [], tasks)
            assert faults_of(comparison) == [(Fault.UNTOLD, RECEIPT, 10_000)]

    def test_money_that_went_back_without_an_order_needs_no_task(self):
        came = moved(checkout=None, order=None)
        back = moved(OTHER_RECEIPT, -10_000, None, "conversation-1")
        bookings = [
            booked(1, names=(RECEIPT,), order=None, about=None),
            booked(2, -10_000, None, ("conversation-1",), about=refund()),
        ]
        told = [Matter("unmatched_money", receipt=RECEIPT)]
        assert is_explained(compare([came, back], bookings, [], told))

    def test_another_amount_in_the_books_is_explained_where_a_person_compares(self):
        booking = booked(cents=10_100, names=(RECEIPT,), receipt=RECEIPT)
        told = [Matter("statement_difference", receipt=RECEIPT)]
        comparison = compare([self.came], [booking], [], told)
        assert is_explained(comparison)
        assert comparison.misread == [(self.came, booking)]

    def test_a_difference_that_is_told_forgives_no_other_of_the_same_order(self):
        second = moved(OTHER_RECEIPT, 5_000, checkout=None)
        bookings = [
            booked(1, 10_100, names=(RECEIPT,), receipt=RECEIPT),
            booked(2, 5_200, names=(OTHER_RECEIPT,), receipt=OTHER_RECEIPT),
        ]
        told = [Matter("statement_difference", receipt=RECEIPT)]
        comparison = compare([self.came, second], bookings, [], told)
        assert faults_of(comparison) == [(Fault.WRONG_AMOUNT, OTHER_RECEIPT, 200)]
        assert comparison.differences == {ORDER: 200}

    def test_with_a_right_account_it_may_not_be_booked_for_nobody_whoever_is_told(self):
        booking = booked(order=None, names=(RECEIPT,), about=None)
        told = [Matter("unmatched_money", receipt=RECEIPT)]
        for tasks in ([], told):
            comparison = compare([self.came], [booking], [], tasks)
            assert comparison.count(Fault.WRONG_ORDER) == 1

    def test_in_no_book_it_is_lost_unless_a_person_was_told_of_its_receipt(self):
        came = moved(checkout=None, order=None)
        comparison = compare([came], [], [], [])
        assert faults_of(comparison) == [(Fault.LOST, RECEIPT, 10_000)]
        assert comparison.differences == {"": -10_000}
        told = [Matter("unmatched_money", receipt=RECEIPT)]
        assert is_explained(compare([came], [], [], told))


class TestMoneyThatWentBack:
    """By a reversal or a payout: below zero in both books."""

    back = moved(OTHER_RECEIPT, -10_000, None, "conversation-1")
    came = booked(1, names=(CHECKOUT,))
    gone = booked(2, -10_000, names=("conversation-1",), about=refund())
    sent = Attempt(refund(), "unknown", frozenset({"conversation-1"}))

    def test_it_is_booked_as_it_went(self):
        assert is_explained(compare([moved(), self.back], [self.came, self.gone], [], []))

    def test_gone_and_not_booked_it_is_lost(self):
        comparison = compare([moved(), self.back], [self.came], [self.sent], [])
        assert faults_of(comparison) == [(Fault.LOST, OTHER_RECEIPT, 10_000)]
        assert comparison.differences == {"": 10_000}

    def test_gone_and_not_booked_it_is_with_the_person_who_was_told_of_the_refund(self):
        told = [Matter("unknown_refund", refund(), RECEIPT)]
        comparison = compare([moved(), self.back], [self.came], [self.sent], told)
        assert is_explained(comparison)
        assert comparison.held == [self.back]

    def test_the_task_about_a_refund_explains_no_payment_of_the_same_receipt(self):
        told = [Matter("unknown_refund", refund(), RECEIPT)]
        assert compare([moved()], [], [asked()], told).count(Fault.LOST) == 1

    def test_booked_and_not_gone_it_is_invented(self):
        comparison = compare([moved()], [self.came, self.gone], [self.sent], [])
        assert faults_of(comparison) == [(Fault.INVENTED, "event 2", 10_000)]
        assert comparison.differences == {ORDER: -10_000}

    def test_booked_and_not_gone_it_is_disputed_where_a_person_was_told_of_the_refund(self):
        told = [Matter("unknown_refund", refund(), RECEIPT)]
        comparison = compare([moved()], [self.came, self.gone], [self.sent], told)
        assert is_explained(comparison)
        assert comparison.disputed == [self.gone]

    def test_a_disputed_payment_explains_no_invented_refund(self):
        told = [Matter("disputed_payment", payment())]
        comparison = compare([moved()], [self.came, self.gone], [self.sent], told)
        assert comparison.count(Fault.INVENTED) == 1

    def test_sent_twice_and_booked_once_it_is_lost_once(self):
        again = moved("UKQ1CCCCCC", -10_000, None, "conversation-2")
        comparison = compare([moved(), self.back, again], [self.came, self.gone], [], [])
        assert faults_of(comparison) == [(Fault.LOST, "UKQ1CCCCCC", 10_000)]
