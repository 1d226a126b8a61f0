"""What the doctor posts to the callback's address: written down as it arrived, and no payment."""

from dataclasses import replace
from hashlib import sha256

import pytest
from sqlalchemy import select

from app import create_app
from app.db import EXTENSION
from app.models import DoctorProbe
from app.services.probes import find_arrival, record_probe
from app.utils.callback_secret import CallbackSecret, callback_token
from tests.core import SECRET, after, database_snapshot, differing_tables
from tests.factories import NOW

BODY = b'{"Body": {"stkCallback": {"ResultCode": 1032}}}'
FORGED = "198.51.100.77"


@pytest.fixture
def probe(database):
    with database.transaction() as session:
        return record_probe(session, SECRET, NOW).id


def post(client, secret=SECRET, **headers):
    return client.post(
        f"/api/pay/cb/{callback_token(0, secret)}",
        data=BODY,
        content_type="application/json",
        headers={"X-Forwarded-For": FORGED, **headers},
    )


def arrival(database):
    with database.reading() as session:
        return find_arrival(session, SECRET)


def test_a_probe_is_answered_like_a_callback_and_written_down(client, database, probe):
    before = database_snapshot(database)
    answer = post(client)
    assert (answer.status_code, answer.json) == (200, {"ResultCode": 0, "ResultDesc": "Accepted"})
    heard = arrival(database)
    assert (heard.remote_addr, heard.forwarded_for) == ("127.0.0.1", FORGED)
    assert heard.body_hash == sha256(BODY).hexdigest()
    assert differing_tables(before, database_snapshot(database)) == {"doctor_probes"}


def test_a_secret_that_is_no_probes_is_refused_like_any_other(client, database, probe, clock):
    before = database_snapshot(database)
    wrong = post(client, CallbackSecret.new())
    clock.now = after(minutes=15)
    late = post(client)
    for answer in (wrong, late):
        assert (answer.status_code, answer.json["code"]) == (404, "not_found")
    assert database_snapshot(database) == before


def test_a_probes_secret_opens_no_payments_address(client, database, probe):
    before = database_snapshot(database)
    answer = client.post(f"/api/pay/cb/{callback_token(probe, SECRET)}", data=BODY)
    assert answer.status_code == 404
    assert database_snapshot(database) == before


@pytest.mark.parametrize(
    ("count", "header", "seen"),
    [
        (1, FORGED, FORGED),  # nobody in front: the caller chose it
        (1, f"{FORGED}, 102.22.1.9", "102.22.1.9"),
        (2, f"{FORGED}, 102.22.1.9, 172.16.0.1", "102.22.1.9"),
        (0, f"{FORGED}, 102.22.1.9", "127.0.0.1"),
    ],
)
def test_the_sender_is_who_the_shop_takes_for_it(
    config, database, ports, probe, count, header, seen
):
    app = create_app(replace(config, trusted_proxy_count=count), ports)
    app.extensions[EXTENSION].dispose()
    app.extensions[EXTENSION] = database
    assert post(app.test_client(), **{"X-Forwarded-For": header}).status_code == 200
    heard = arrival(database)
    assert (heard.remote_addr, heard.forwarded_for) == (seen, header)


def test_the_secret_itself_is_nowhere_in_the_database(database, probe):
    with database.reading() as session:
        assert session.scalars(select(DoctorProbe.secret_hash)).all() == [SECRET.hash]
