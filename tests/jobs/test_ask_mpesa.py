"""One request: a row before it, one call, a row after it, and what it is about moves with it."""

import pytest

from app.integrations.mpesa import MpesaMisconfigured, MpesaRefused, MpesaUncertain
from app.jobs.ask_mpesa import Addresses, Sending, send_request
from app.models import MpesaRequest, RequestKind, RequestState
from app.ports import BalanceAsk
from app.services.mpesa_requests import NewRequest, record_request
from app.utils.callback_secret import split_callback_token
from tests.core import SECRET, database_snapshot, task_kinds
from tests.factories import NOW

pytestmark = pytest.mark.usefixtures("logs")


@pytest.fixture
def request_id(database) -> int:
    with database.transaction() as session:
        return record_request(session, NewRequest(RequestKind.BALANCE), SECRET, NOW).id


def ask_balance(gateway, addresses: Addresses, remarks: str = "Balance"):
    return gateway.ask_balance(BalanceAsk(addresses.result_url, addresses.timeout_url, remarks))


def stored(database, request_id) -> MpesaRequest:
    with database.reading() as session:
        return session.get_one(MpesaRequest, request_id)


def tasks(database) -> list[str]:
    with database.reading() as session:
        return task_kinds(session)


def test_a_request_is_sent_once_with_addresses_that_hold_its_secret(
    work, database, merchant, request_id
):
    sending = send_request(work, request_id, SECRET, ask_balance)

    assert sending == Sending(RequestState.SENT, "acknowledged")
    (ask,) = merchant.balance_asks
    token = f"{request_id}.{SECRET.value}"
    assert ask.result_url == f"https://shop.example/api/pay/result/{token}"
    assert ask.timeout_url == f"https://shop.example/api/pay/timeout/{token}"
    assert split_callback_token(ask.result_url.rpartition("/")[2]) == (request_id, SECRET)
    kept = stored(database, request_id)
    assert (kept.state, kept.conversation_id, kept.originator_id, kept.sent_at) == (
        "sent",
        "AG_20261122_d0000000000000000001",
        "de4f-4b95-a71d-000000000001",
        NOW,
    )


@pytest.mark.parametrize(
    ("error", "state", "code", "told"),
    [
        (MpesaRefused("Bad Request", code="400.002.02"), "refused", "400.002.02", []),
        (MpesaMisconfigured("no product", code="401"), "refused", "401", ["mpesa_configuration"]),
        (MpesaUncertain("read timeout"), "unknown", None, []),
    ],
)
def test_what_is_refused_or_unanswered_is_written_down_and_not_sent_again(
    work, database, merchant, request_id, error, state, code, told
):
    merchant.errors["ask_balance"] = error
    seen = []
    sending = send_request(
        work, request_id, SECRET, ask_balance, lambda _session, sending: seen.append(sending)
    )

    assert (sending.state, sending.error) == (state, error)
    assert seen == [sending]
    kept = stored(database, request_id)
    assert (kept.state, kept.result_code, kept.result_desc) == (state, code, error.message)
    assert len(merchant.balance_asks) == 1
    assert tasks(database) == told


def test_an_ask_that_breaks_a_rule_of_the_manual_is_surely_not_sent(work, database, request_id):
    def refuse(_gateway, _addresses):
        raise ValueError("remarks must be 2 to 100 letters")

    sending = send_request(work, request_id, SECRET, refuse)

    assert sending.state is RequestState.REFUSED
    assert stored(database, request_id).state == "refused"
    assert stored(database, request_id).result_desc == (
        "Not sent: remarks must be 2 to 100 letters"
    )


def test_a_bug_on_the_way_leaves_the_row_as_a_crash_would(work, database, request_id):
    def burst(_gateway, _addresses):
        raise KeyError("a bug")

    before = database_snapshot(database)
    with pytest.raises(KeyError):
        send_request(work, request_id, SECRET, burst)
    assert database_snapshot(database) == before


def test_what_the_request_is_about_moves_with_it_or_neither_does(work, database, request_id):
    def follow(_session, _sending):
        raise KeyError("a bug")

    before = database_snapshot(database)
    with pytest.raises(KeyError):
        send_request(work, request_id, SECRET, ask_balance, follow)
    assert database_snapshot(database) == before
