"""Requests that are answered later: each step once, whichever of acknowledgement, answer and notice
comes first, twice, late or with other ids.
"""

from dataclasses import replace

import pytest
from sqlalchemy import select

from app.models import MpesaRequest, RequestKind, RequestState, Task
from app.ports import RequestAccepted
from app.services.mpesa_requests import (
    GIVEN_UP,
    Answer,
    Hearing,
    NamedIds,
    NewRequest,
    expire_requests,
    find_request_by_secret,
    note_answer,
    note_given_up,
    record_acknowledgement,
    record_request,
    record_request_refusal,
    record_request_silence,
)
from app.services.request_reports import report_refused_settings, report_unreadable_answer
from app.utils.callback_secret import CallbackSecret
from tests.core import SECRET, after, snapshot, thrown_away
from tests.factories import NOW

ACCEPTED = RequestAccepted("AG_20261122_a1", "ae4f-4b95-a71d-1")
IDS = NamedIds("AG_20261122_a1", "ae4f-4b95-a71d-1")
DONE = Answer("0", "Done.", IDS, {"Amount": "1500", "Charge": "0"})
FAILED = Answer("2001", "The initiator information is invalid.", IDS)
LATER = after(minutes=1)


def make_request(session, kind=RequestKind.BALANCE, **fields) -> MpesaRequest:
    return record_request(session, NewRequest(kind, **fields), SECRET, NOW)


def facts(request) -> tuple:
    return (request.state, request.conversation_id, request.originator_id, request.result_code)


def test_a_request_is_found_by_its_own_secret_alone(session):
    request = make_request(session, receipt="UKM0000001")

    assert request.secret_hash == SECRET.hash
    assert (request.state, request.created_at, request.sent_at) == ("created", NOW, None)
    assert find_request_by_secret(session, request.id, SECRET) is request
    assert find_request_by_secret(session, request.id, CallbackSecret.new()) is None
    assert find_request_by_secret(session, request.id + 1, SECRET) is None


def test_an_acknowledgement_keeps_both_ids(session):
    request = make_request(session)
    record_acknowledgement(session, request.id, ACCEPTED, LATER)

    assert facts(request) == ("sent", *ids_of(ACCEPTED), None)
    assert request.sent_at == LATER
    before = snapshot(session)
    record_acknowledgement(session, request.id, ACCEPTED, after(hours=1))
    assert snapshot(session) == before


def ids_of(accepted: RequestAccepted) -> tuple[str, str]:
    return accepted.conversation_id, accepted.originator_conversation_id


def test_an_id_of_our_own_stays_and_an_id_that_is_not_given_is_none(session):
    request = make_request(session, RequestKind.PAYOUT, originator_id="refund-1-ours")
    record_acknowledgement(session, request.id, RequestAccepted("", "theirs"), NOW)

    assert facts(request) == ("sent", None, "refund-1-ours", None)


def test_a_refusal_and_a_silence_are_told_apart(session):
    refused, silent = make_request(session), make_request(session)
    record_request_refusal(session, refused.id, "400.002.02", "Bad Request", LATER)
    record_request_silence(session, silent.id, "read timeout", LATER)

    assert facts(refused) == ("refused", None, None, "400.002.02")
    assert (refused.result_desc, refused.answered_at) == ("Bad Request", LATER)
    assert facts(silent) == ("unknown", None, None, None)
    assert (silent.result_desc, silent.sent_at) == ("read timeout", LATER)


STEPS = {
    "acknowledged": lambda s, r: record_acknowledgement(s, r.id, ACCEPTED, LATER),
    "refused": lambda s, r: record_request_refusal(s, r.id, "1", "no", LATER),
    "silent": lambda s, r: record_request_silence(s, r.id, "nothing", LATER),
    "given up": lambda s, r: note_given_up(s, r.id, IDS, LATER),
    "expired": lambda s, r: expire_requests(s, [r.id]),
    "answered": lambda s, r: note_answer(s, r.id, DONE, LATER),
}
MOVES = {
    ("created", "acknowledged"): "sent",
    ("created", "refused"): "refused",
    ("created", "silent"): "unknown",
    ("created", "given up"): "unknown",
    ("created", "expired"): "expired",
    ("sent", "silent"): "unknown",
    ("sent", "given up"): "unknown",
    ("sent", "expired"): "expired",
    ("unknown", "acknowledged"): "sent",
    ("unknown", "refused"): "refused",
    ("unknown", "expired"): "expired",
}
"""Where a step leads to; an answer is heard whatever was before, all else stays where it is."""


@pytest.mark.parametrize("state", RequestState)
def test_every_step_from_every_state_leads_where_it_may(session, state):
    for name, step in STEPS.items():
        with thrown_away(session):
            request = make_request(session)
            request.state = state
            session.flush()
            step(session, request)
            expected = "answered" if name == "answered" else MOVES.get((state, name), state)
            assert request.state == expected, name


def test_an_answer_is_kept_and_the_same_again_adds_nothing(session):
    request = make_request(session)
    record_acknowledgement(session, request.id, ACCEPTED, NOW)
    assert note_answer(session, request.id, DONE, LATER) is Hearing.NEWS

    assert facts(request) == ("answered", *ids_of(ACCEPTED), "0")
    assert request.result == '{"Amount": "1500", "Charge": "0"}'
    assert (request.result_desc, request.answered_at) == ("Done.", LATER)
    before = snapshot(session)
    assert note_answer(session, request.id, DONE, after(hours=1)) is Hearing.REPEATED
    nameless = replace(DONE, ids=NamedIds())
    assert note_answer(session, request.id, nameless, after(hours=1)) is Hearing.REPEATED
    assert note_given_up(session, request.id, IDS, after(hours=1)) is Hearing.REPEATED
    assert snapshot(session) == before


def test_another_answer_than_before_is_news(session):
    request = make_request(session)
    assert note_answer(session, request.id, FAILED, NOW) is Hearing.NEWS
    assert note_answer(session, request.id, DONE, LATER) is Hearing.NEWS
    assert request.result_code == "0"
    reversed_now = replace(DONE, parameters={"TransactionStatus": "Reversed"})
    assert note_answer(session, request.id, reversed_now, LATER) is Hearing.NEWS


@pytest.mark.parametrize("state", ["created", "unknown", "refused", "expired"])
def test_an_answer_before_the_acknowledgement_brings_its_ids(session, state):
    request = make_request(session)
    request.state = state
    session.flush()
    assert note_answer(session, request.id, DONE, NOW) is Hearing.NEWS
    assert facts(request) == ("answered", IDS.conversation_id, IDS.originator_id, "0")

    before = snapshot(session)
    record_acknowledgement(session, request.id, ACCEPTED, LATER)
    assert snapshot(session) == before


def test_an_acknowledgement_with_other_ids_than_the_answer_is_told_to_a_person(session):
    request = make_request(session)
    note_answer(session, request.id, DONE, NOW)
    record_acknowledgement(session, request.id, RequestAccepted("AG_other", "x"), LATER)

    assert facts(request) == ("answered", IDS.conversation_id, IDS.originator_id, "0")
    task = session.scalars(select(Task)).one()
    assert (task.kind, task.dedupe_key) == (
        "mismatched_callback",
        f"mismatched_callback:request:{request.id}",
    )
    assert "AG_other" in task.description
    assert IDS.conversation_id in task.description


@pytest.mark.parametrize(
    "ids", [NamedIds("AG_other", IDS.originator_id), NamedIds(IDS.conversation_id, "other")]
)
def test_an_answer_or_notice_with_other_ids_is_for_a_person_and_moves_nothing(session, ids):
    request = make_request(session, receipt="UKM0000001")
    record_acknowledgement(session, request.id, ACCEPTED, NOW)
    before = facts(request)
    for _ in range(2):
        assert note_answer(session, request.id, replace(DONE, ids=ids), LATER) == "mismatched"
        assert note_given_up(session, request.id, ids, LATER) == "mismatched"

    assert facts(request) == before
    task = session.scalars(select(Task)).one()
    assert (task.kind, task.receipt) == ("mismatched_callback", "UKM0000001")
    assert task.title == f"An answer of M-Pesa's does not fit request {request.id} (balance)"


def test_whose_originator_id_a_payouts_answer_names_proves_nothing(session):
    """Safaricom takes ours, and its samples show it naming one of its own."""
    request = make_request(session, RequestKind.PAYOUT, originator_id="refund-1-ours")
    record_acknowledgement(session, request.id, ACCEPTED, NOW)

    assert note_answer(session, request.id, DONE, LATER) is Hearing.NEWS
    assert request.originator_id == "refund-1-ours"
    other = replace(DONE, ids=NamedIds("AG_other", "refund-1-ours"))
    assert note_answer(session, request.id, other, LATER) is Hearing.MISMATCHED


def test_what_the_queue_gave_up_is_unknown_also_where_no_id_is_named(session):
    request = make_request(session)
    record_acknowledgement(session, request.id, ACCEPTED, NOW)

    assert note_given_up(session, request.id, NamedIds(), LATER) is Hearing.NEWS
    assert (request.state, request.result_desc) == ("unknown", GIVEN_UP)
    assert request.sent_at == NOW
    assert note_answer(session, request.id, DONE, LATER) is Hearing.NEWS
    assert request.state == "answered"


def test_an_unreadable_answer_is_for_a_person_once(session):
    request = make_request(session)
    for _ in range(2):
        report_unreadable_answer(session, request, 17, "no JSON", NOW)

    task = session.scalars(select(Task)).one()
    assert task.kind == "unreadable_callback"
    assert task.description == (
        "The answer could not be read: no JSON. It is kept as inbox message 17."
    )
    assert request.state == "created"


def test_refused_settings_are_told_once_a_day_for_each_code(session):
    for moment, code in ((NOW, "2001"), (LATER, "2001"), (NOW, "21"), (after(days=1), "2001")):
        report_refused_settings(session, code, "Check it.", moment)

    kinds = session.execute(select(Task.kind, Task.dedupe_key).order_by(Task.id)).all()
    assert [tuple(row) for row in kinds] == [
        ("mpesa_configuration", "mpesa_initiator:2001:2026-11-22"),
        ("mpesa_configuration", "mpesa_initiator:21:2026-11-22"),
        ("mpesa_configuration", "mpesa_initiator:2001:2026-11-23"),
    ]


def test_long_texts_of_others_are_cut_to_what_a_column_holds(session):
    request = make_request(session)
    record_request_refusal(session, request.id, "c" * 80, "m" * 900, NOW)
    assert (len(request.result_code), len(request.result_desc)) == (40, 300)

    other = make_request(session)
    record_request_silence(session, other.id, "m" * 900, NOW)
    assert len(other.result_desc) == 300
