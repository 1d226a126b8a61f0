"""What comes to the addresses of a request: kept with it, and acted on by whoever listens."""

import json

import pytest
from sqlalchemy import select

from app.jobs import hear_answer
from app.jobs.ask_mpesa import send_request
from app.jobs.hear_answer import LISTENERS, Subject
from app.jobs.heard import Heard, Listener
from app.jobs.process_message import process_message
from app.models import InboxMessage, InboxSource, MpesaRequest, RequestKind, Task
from app.ports import BalanceAsk
from app.services.inbox import ReceivedMessage
from app.services.mpesa_requests import NewRequest, record_request
from tests.core import SECRET, database_snapshot, differing_tables
from tests.factories import NOW
from tests.inbox import keep_message
from tests.safaricom import result_body

pytestmark = pytest.mark.usefixtures("logs")
IDS = ("AG_20261122_d0000000000000000001", "de4f-4b95-a71d-000000000001")


@pytest.fixture
def request_id(work, database) -> int:
    """A question that was sent."""
    with database.transaction() as session:
        request_id = record_request(session, NewRequest(RequestKind.BALANCE), SECRET, NOW).id
    send_request(
        work,
        request_id,
        SECRET,
        lambda gateway, addresses: gateway.ask_balance(
            BalanceAsk(addresses.result_url, addresses.timeout_url, "Balance")
        ),
    )
    return request_id


@pytest.fixture
def listened(monkeypatch) -> list[tuple]:
    """A listener of the test's own, and what it was told."""
    told: list[tuple] = []

    def heard(_session, _work, request, result):
        told.append(("heard", request.state, result.result_code))
        return Heard("acted", lambda _work: told.append(("then",)))

    def silenced(_session, _work, request, reason):
        told.append(("silenced", request.state, reason))
        return Heard("silence", lambda _work: told.append(("then",)))

    listener = Listener(
        lock=lambda _session, request: told.append(("locked", request.id)),
        heard=heard,
        silenced=silenced,
    )
    key = (RequestKind.BALANCE, Subject.SHOP)
    monkeypatch.setattr(hear_answer, "LISTENERS", {**LISTENERS, key: listener})
    return told


def hear(work, request_id, body: bytes, source=InboxSource.API_RESULT) -> str | None:
    with work.database.transaction() as session:
        message = ReceivedMessage(source, body, {}, "196.201.214.200", request_id=request_id)
        message_id = keep_message(session, message, work.now()).id
    process_message(work, message_id)
    with work.database.reading() as session:
        return session.get_one(InboxMessage, message_id).outcome


def stored(database, request_id) -> MpesaRequest:
    with database.reading() as session:
        return session.get_one(MpesaRequest, request_id)


def tasks(database) -> list[str]:
    with database.reading() as session:
        return list(session.scalars(select(Task.kind).order_by(Task.id)))


def test_an_answer_nobody_listens_to_is_kept_with_its_request(work, database, request_id):
    body = result_body(*IDS, parameters={"AccountBalance": "Utility Account|KES|10.00"})
    assert hear(work, request_id, body) == "kept"

    kept = stored(database, request_id)
    assert (kept.state, kept.result_code) == ("answered", "0")
    assert json.loads(kept.result) == {"AccountBalance": "Utility Account|KES|10.00"}
    assert hear(work, request_id, body) == "repeated"
    assert tasks(database) == []


def test_a_listener_is_told_once_after_it_has_locked_and_works_on_after_the_commit(
    work, request_id, listened
):
    assert hear(work, request_id, result_body(*IDS)) == "acted"
    assert listened == [("locked", request_id), ("heard", "answered", "0"), ("then",)]
    listened.clear()

    assert hear(work, request_id, result_body(*IDS)) == "repeated"
    assert hear(work, request_id, b"{}", InboxSource.QUEUE_TIMEOUT) == "repeated"
    assert listened == [("locked", request_id)] * 2
    listened.clear()

    assert hear(work, request_id, result_body(*IDS, code="26")) == "acted"
    assert listened == [("locked", request_id), ("heard", "answered", "26"), ("then",)]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"no JSON",
        json.dumps({"ConversationID": IDS[0]}).encode(),
        result_body(*IDS, code=1),
        b"\xff" * 70_000,
    ],
)
def test_a_notice_of_the_queue_makes_it_unknown_whatever_it_says(
    work, database, request_id, listened, body
):
    assert hear(work, request_id, body, InboxSource.QUEUE_TIMEOUT) == "given_up"
    assert stored(database, request_id).state == "unknown"
    assert listened == [
        ("locked", request_id),
        ("silenced", "unknown", "M-Pesa's queue gave the request up."),
        ("then",),
    ]
    assert tasks(database) == []


@pytest.mark.parametrize("source", [InboxSource.API_RESULT, InboxSource.QUEUE_TIMEOUT])
def test_ids_that_do_not_fit_are_kept_told_to_a_person_and_move_nothing(
    work, database, request_id, listened, source
):
    before = database_snapshot(database)
    assert hear(work, request_id, result_body("AG_other", IDS[1]), source) == "mismatched"

    changed = differing_tables(before, database_snapshot(database))
    assert changed == {"callback_inbox", "tasks"}
    assert tasks(database) == ["mismatched_callback"]
    assert [told[0] for told in listened if told[0] == "heard"] == []


@pytest.mark.parametrize(
    "body", [b"", b"<Envelope/>", b'{"Result": []}', result_body(*IDS)[:-9], b"[" * 5000]
)
def test_an_answer_nobody_can_read_is_kept_and_told(work, database, request_id, listened, body):
    before = database_snapshot(database)
    assert hear(work, request_id, body) == "unreadable"

    assert differing_tables(before, database_snapshot(database)) == {"callback_inbox", "tasks"}
    assert tasks(database) == ["unreadable_callback"]
    assert [told[0] for told in listened] == ["locked", "silenced", "then"]
