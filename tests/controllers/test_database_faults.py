"""A database that fails in the middle of an order: nothing half done, nothing done twice."""

import select as sockets
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.engine import make_url

from app.context import WORK
from app.db import EXTENSION, Database
from app.jobs.process_message import process_message
from app.models import IdempotencyKey, InboxMessage, Order, Payment, Product
from app.services.audit import audit
from app.services.inbox import find_waiting_messages
from tests.controllers.callers import caller
from tests.core import after, ask_to_pay, buy, counts, make_buyer, push_ids
from tests.factories import NOW, make_product
from tests.safaricom import callback_body

_SOCKET = ".s.PGSQL.5432"
_KEEPING = b"INSERT INTO callback_inbox"


class CuttingProxy:
    """Stands between the shop and PostgreSQL, and cuts one connection at its next COMMIT, or where
    it next says something else.

    ``before`` the server sees it, or ``after`` the server has done it and said so: the shop sees
    one and the same broken connection.
    """

    def __init__(self, folder: Path, server: str) -> None:
        self.armed: str | None = None
        self.cut_at = b"COMMIT"
        self.cuts = 0
        self._server = server
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / _SOCKET))
        self._listener.listen(32)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError):
            server.connect(self._server)
            while True:
                ready, _, _ = sockets.select([client, server], [], [])
                for end in ready:
                    said = end.recv(65_536)
                    if not said:
                        return
                    if end is client and self.armed and self.cut_at in said:
                        if self.armed == "after":
                            server.sendall(said)
                            server.recv(65_536)  # the server has done it
                        self.armed, self.cuts = None, self.cuts + 1
                        return
                    (server if end is client else client).sendall(said)


@pytest.fixture
def proxy(database, database_kind, tmp_path):
    if database_kind == "sqlite":
        pytest.skip("there is no connection to cut")
    folder = database.url.query["host"]
    made = CuttingProxy(tmp_path, f"{folder}/{_SOCKET}")
    yield made
    made.close()


@pytest.fixture
def behind(proxy, app, database_url, tmp_path):
    """The shop, whose database is reached through the proxy."""
    url = make_url(database_url)
    through = url.update_query_dict({"host": str(tmp_path)})
    database = Database(through.render_as_string(hide_password=False))
    app.extensions[EXTENSION] = database
    yield app.test_client()
    database.dispose()


@pytest.fixture
def boots(database):
    with database.transaction() as session:
        return make_product(session, stock=5, price_cents=150_000)


@pytest.mark.fault("F36")
@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_order_whose_commit_is_cut_is_placed_once_by_its_key(
    behind, proxy, database, boots, moment
):
    _, headers = caller(behind, database)
    headers = {**headers, "Idempotency-Key": "tap"}
    ask = {"products": [{"product_id": boots.id, "quantity": 2}]}
    proxy.armed = moment
    lost = behind.post("/api/orders", headers=headers, json=ask)
    assert (lost.status_code, lost.json["code"]) == (503, "database_unavailable")
    assert "Idempotency-Key" in lost.json["detail"]
    assert proxy.cuts == 1

    answer = behind.post("/api/orders", headers=headers, json=ask)
    assert answer.status_code == 201
    assert ("Idempotent-Replayed" in answer.headers) is (moment == "after")
    with database.reading() as session:
        assert session.scalar(select(func.count(Order.id))) == 1
        assert counts(session, boots) == (5, 2)
        assert audit(session, NOW) == []


@pytest.mark.fault("F36")
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_prompt_whose_record_is_cut_rings_no_phone_twice(
    behind, proxy, database, boots, gateway, moment
):
    user, headers = caller(behind, database, phone_number="254712345678")
    with database.transaction() as session:
        order = buy(session, user, (boots, 1))
    headers = {**headers, "Idempotency-Key": "tap"}
    proxy.armed = moment
    lost = behind.post("/api/mpesa/stkpush", headers=headers, json={"order_id": order.id})
    assert lost.status_code == 503
    assert gateway.pushes == []

    again = behind.post("/api/mpesa/stkpush", headers=headers, json={"order_id": order.id})
    with database.reading() as session:
        statuses = session.scalars(select(Payment.status)).all()
    if moment == "before":
        assert (again.status_code, len(gateway.pushes), statuses) == (202, 1, ["pending"])
    else:  # the row is there, nobody sent it, and the reconciler lets it go
        assert (again.json["code"], gateway.pushes) == ("idempotency_in_progress", [])
        assert statuses == ["created"]


@pytest.mark.fault("F36")
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_callback_whose_record_is_cut_is_kept_by_another_connection(
    behind, proxy, database, app, boots, moment
):
    """Kept twice it is counted once."""
    with database.transaction() as session:
        payment = ask_to_pay(session, buy(session, make_buyer(session), (boots, 1)))
    body = callback_body(*push_ids(payment.id))
    address = f"/api/pay/cb/{payment.id}.a-secret-that-only-safaricom-was-given"
    proxy.armed, proxy.cut_at = moment, _KEEPING
    assert behind.post(address, data=body).status_code == 200
    assert proxy.cuts == 1

    for message_id in unread(database):
        process_message(app.extensions[WORK], message_id)
    with database.reading() as session:
        kept = session.scalars(select(InboxMessage.outcome).order_by(InboxMessage.id)).all()
        again = ["already_settled"] if moment == "after" else []
        assert sorted(kept) == [*again, "settled"]
        assert session.get_one(Payment, payment.id).status == "succeeded"
        assert audit(session, NOW) == []


def unread(database) -> list[int]:
    with database.reading() as session:
        return find_waiting_messages(session, after(seconds=2))


FULL = {
    "sqlite": "the page limit of the file",
    "postgresql": "what the server says when its disk is full",
}


def fill_the_disk(database) -> None:
    """From here on no new order finds room."""
    if database.is_sqlite:

        @event.listens_for(database.engine, "begin")
        def limit(connection) -> None:
            cursor = connection.connection.dbapi_connection
            pages = cursor.execute("PRAGMA page_count").fetchone()[0]
            cursor.execute(f"PRAGMA max_page_count = {pages}")

        database.engine.dispose()
        with database.engine.connect() as connection:  # pages of what was dropped are room, too
            connection.connection.dbapi_connection.execute("VACUUM")
        return
    with database.engine.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                " RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$"
            )
        )
        connection.execute(
            text(
                "CREATE TRIGGER no_room BEFORE INSERT ON order_lines"
                " FOR EACH STATEMENT EXECUTE FUNCTION no_room()"
            )
        )


def make_room(database) -> None:
    if not database.is_sqlite:
        with database.engine.begin() as connection:
            connection.execute(text("DROP TRIGGER no_room ON order_lines"))
            connection.execute(text("DROP FUNCTION no_room()"))


@pytest.mark.fault("F45")
def test_a_full_disk_refuses_what_writes_and_goes_on_reading(new_app, database_url, database):
    own = Database(database_url)
    new_app.extensions[EXTENSION] = own
    client = new_app.test_client()
    _, headers = caller(client, own)
    with own.transaction() as session:
        boots = make_product(session, stock=5, description="long " * 500)
    ask = {
        "products": [{"product_id": boots.id, "quantity": 1}],
        "note": "n" * 400,
        "delivery_address": "a" * 400,
    }
    try:
        fill_the_disk(own)
        answers = [client.post("/api/orders", headers=headers, json=ask) for _ in range(40)]
        refused = [answer for answer in answers if answer.status_code != 201]
        assert {(one.status_code, one.json["code"]) for one in refused} == {
            (503, "database_unavailable")
        }
        assert "Retry-After" in refused[0].headers
        assert client.get(f"/api/items/{boots.id}").status_code == 200
    finally:
        make_room(own)
    own.dispose()
    with database.reading() as session:
        placed = session.scalar(select(func.count(Order.id)))
        assert placed == 40 - len(refused)
        assert counts(session, boots) == (5, placed)
        assert audit(session, NOW) == []
    fresh = Database(database_url)
    new_app.extensions[EXTENSION] = fresh
    with fresh.transaction() as session:
        session.get_one(Product, boots.id).on_hand += 0
        session.execute(text("DELETE FROM idempotency_keys"))
        assert session.scalar(select(func.count(IdempotencyKey.id))) == 0
    fresh.dispose()
