"""The addresses that M-Pesa answers at, later: open to who knows the secret, and to nobody else."""

import pytest
from sqlalchemy import select

from app.models import InboxMessage, MpesaRequest, RequestKind
from app.services.mpesa_requests import NewRequest, record_request
from tests.core import SECRET, database_snapshot
from tests.factories import NOW
from tests.safaricom import result_body

ACCEPTED = {"ResultCode": 0, "ResultDesc": "Accepted"}
IDS = ("AG_20261122_d1", "de4f-1")


@pytest.fixture
def request_id(database) -> int:
    with database.transaction() as session:
        return record_request(session, NewRequest(RequestKind.BALANCE), SECRET, NOW).id


@pytest.mark.parametrize(
    ("door", "source", "outcome", "state"),
    [
        ("result", "api_result", "kept", "answered"),
        ("timeout", "queue_timeout", "given_up", "unknown"),
    ],
)
def test_what_comes_with_the_secret_is_kept_answered_and_acted_on(
    client, database, request_id, door, source, outcome, state
):
    body = result_body(*IDS)
    response = client.post(
        f"/api/pay/{door}/{request_id}.{SECRET.value}",
        data=body,
        headers={"User-Agent": "Safaricom"},
        environ_base={"REMOTE_ADDR": "196.201.214.200"},
        buffered=True,
    )

    assert (response.status_code, response.get_json()) == (200, ACCEPTED)
    with database.reading() as session:
        message = session.scalars(select(InboxMessage)).one()
        assert session.get_one(MpesaRequest, request_id).state == state
    assert (message.source, message.request_id, message.payment_id) == (source, request_id, None)
    assert (message.body, message.outcome) == (body, outcome)
    assert message.headers == {"user-agent": "Safaricom"}
    assert message.remote_addr == "196.201.214.200"


@pytest.mark.parametrize("door", ["result", "timeout"])
def test_without_the_secret_there_is_nothing_and_nothing_is_kept(
    client, database, request_id, door
):
    before = database_snapshot(database)
    good = f"{request_id}.{SECRET.value}"
    for token in (
        good[:-1],
        good + "x",
        f"{request_id + 1}.{SECRET.value}",
        f"{request_id}.",
        str(request_id),
        f"{request_id}.{SECRET.hash}",
        "%00.x",
    ):
        response = client.post(f"/api/pay/{door}/{token}", data=result_body(*IDS))
        assert (response.status_code, response.get_json()["code"]) == (404, "not_found"), token
    assert client.get(f"/api/pay/{door}/{good}").status_code == 405
    assert client.post(f"/pay/{door}/{good}", data=b"{}").status_code == 404
    assert database_snapshot(database) == before


def test_the_secret_of_a_request_opens_no_address_of_a_payment(client, database, request_id):
    other = f"/api/pay/cb/{request_id}.{SECRET.value}"
    assert client.post(other, data=result_body(*IDS)).status_code == 404
    with database.reading() as session:
        assert session.scalars(select(InboxMessage)).all() == []


def test_a_body_beyond_the_limit_is_cut_kept_and_told(client, database, request_id):
    path = f"/api/pay/result/{request_id}.{SECRET.value}"
    response = client.post(path, data=result_body(*IDS, Padding="x" * 70_000), buffered=True)

    assert response.status_code == 200
    with database.reading() as session:
        message = session.scalars(select(InboxMessage)).one()
    assert (message.truncated, message.outcome, len(message.body)) == (True, "unreadable", 65_536)
