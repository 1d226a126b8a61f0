"""A backup brings the shop back: each row of it, on either database, and from one to the other."""

import os
import stat
import zipfile

import pytest
from sqlalchemy import func, inspect, select, text

from app.backups import NothingToKeep, who_is_at_work
from app.backups.tables import LEFT_OUT, is_kept, read_tables
from app.models import Base, LedgerEntry, Order, Product, Task
from app.schema_migrations import differences, head_revision, is_current, upgrade
from app.services.audit import audit
from app.services.search import SearchAsk, search_products
from tests.backups.conftest import KEPT_TABLES, KEY, PICTURE, read, rows_of
from tests.core import after, buy, make_buyer
from tests.factories import NOW, make_product, make_task


def test_every_row_comes_back_on_either_database(database, sale, keep, other_place):
    before = rows_of(database)
    restored = other_place.restore(keep(), moved=True)

    rows = other_place.rows()
    assert rows.pop("restores") and not before.pop("restores")
    assert rows == before
    assert restored.findings == []
    assert is_current(other_place.database)
    assert differences(other_place.database) == []
    empty = {name for name, found in before.items() if not found}
    assert empty == {
        "decisions",
        "idempotency_keys",
        "payment_claims",
        "statement_imports",
        "statement_lines",
        "webhook_attempts",
    }


def test_the_restored_shop_works(database, sale, keep, other_place):
    other_place.restore(keep(), moved=True)
    with other_place.database.transaction() as session:
        ((found, _score),) = search_products(session, SearchAsk("kikoi")).rows
        assert found.name.startswith("Kikoi tab")
        buy(session, make_buyer(session, phone_number="254799999999"), (make_product(session), 1))
    with other_place.database.reading() as session:
        assert audit(session, NOW) == []
    with (
        pytest.raises(Exception, match="append-only"),
        other_place.database.transaction() as session,
    ):
        session.execute(text("UPDATE order_events SET reason = reason"))


def test_ids_that_were_given_are_never_given_again(database, keep, other_place):
    with database.transaction() as session:
        make_task(session, None)
        gone = make_task(session, None).id
    with database.transaction() as session:
        session.execute(text("DELETE FROM tasks WHERE id = 2"))
    assert gone == 2
    other_place.restore(keep())
    with other_place.database.transaction() as session:
        # one task is the restore's own
        assert make_task(session, None).id == 1_000_004
        assert make_product(session).id == 1_000_001


def test_a_move_leaves_no_ids_out(database, keep, other_place):
    with database.transaction() as session:
        make_task(session, None)
    other_place.restore(keep(), moved=True)
    with other_place.database.transaction() as session:
        assert make_task(session, None).id == 2


def test_pictures_come_along(database, sale, keep, place, media):
    (media / PICTURE / "320.webp#1").write_bytes(b"half a pic")
    restored = place.restore(keep())
    assert restored.pictures_written == 2
    assert {
        path.relative_to(place.media).as_posix(): path.read_bytes()
        for path in place.media.rglob("*")
        if path.is_file()
    } == {f"{PICTURE}/320.webp": b"small", f"{PICTURE}/640.webp": bytes(range(256)) * 9}
    assert place.restore(keep("again.zip"), replace=True).pictures_written == 0


def test_a_bucket_keeps_its_own_pictures_and_the_backup_says_so(database, keep, place):
    path = keep(media=None)
    manifest = read(path)
    assert (manifest.uploads_kept, manifest.uploads) == ("elsewhere", ())
    assert place.restore(path).pictures_written == 0


def test_the_manifest_says_what_the_backup_is(database, database_kind, sale, keep):
    with database.reading() as session:
        orders = session.scalar(select(func.count(Order.id)))
        cents = dict(
            session.execute(
                select(LedgerEntry.account, func.sum(LedgerEntry.amount_cents)).group_by(
                    LedgerEntry.account
                )
            ).all()
        )
    manifest = read(keep(at_work=("a worker",)))
    assert manifest.made_at == NOW
    assert manifest.revision == head_revision()
    assert manifest.database_kind == database_kind
    assert manifest.rows_of("orders") == orders == 3
    assert manifest.ledger_cents == cents
    assert sum(cents.values()) == 0
    assert len(cents) >= 3
    assert manifest.at_work == ("a worker",)
    assert [table.name for table in manifest.tables if table.name not in KEPT_TABLES] == []


def test_every_table_is_kept_or_left_out_for_a_reason(database):
    found = set(inspect(database.engine).get_table_names())
    with database.engine.connect() as connection:
        kept = {table.name for table in read_tables(connection)}
        unsorted = inspect(connection).get_sorted_table_and_fkc_names()[-1]
    left = {name for name in found - kept if not name.startswith(("search_", "sqlite_"))}
    assert left <= LEFT_OUT.keys()
    assert kept == {name for name in Base.metadata.tables if is_kept(name)}
    assert unsorted == (None, [])  # each table can be filled after those that it refers to


def test_a_backup_is_its_owners_alone(database, keep):
    was = os.umask(0)
    try:
        path = keep()
    finally:
        os.umask(was)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_nothing_of_the_machinery_and_no_secret_is_in_it(database, sale, keep):
    with database.transaction() as session:
        session.execute(
            text("INSERT INTO shared_tokens (name, value) VALUES ('daraja', 'a-token-of-theirs')")
        )
    path = keep()
    with zipfile.ZipFile(path) as file:
        content = b"".join(file.read(name) for name in file.namelist())
        names = {name.split("/")[1] for name in file.namelist() if name.startswith("rows/")}
    assert b"a-token-of-theirs" not in content
    assert KEY.hex().encode() not in content
    assert names == {f"{name}.copy" for name in KEPT_TABLES}


def test_an_older_backup_is_brought_up_to_this_version(place, tmp_path, keep, make_place):
    old = make_place("sqlite" if place.url.startswith("sqlite") else "postgresql")
    upgrade(old.database, "0007")
    with old.database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO tasks (kind, title, description, status, priority, created_at,"
                " updated_at) VALUES ('manual', 'Pack', '', 'todo', 'low', :now, :now)"
            ),
            {"now": "2026-11-22 09:00:00.000000"},
        )
    path = keep_of(old.database, tmp_path)
    assert read(path).revision == "0007"
    place.restore(path, moved=True)
    assert is_current(place.database)
    with place.database.reading() as session:
        task = session.scalars(select(Task)).one()
        assert (task.title, task.created_at, task.refund_id) == ("Pack", NOW, None)


def keep_of(database, folder):
    from app.backups import make_backup

    target = folder / "old.zip"
    make_backup(database, None, target, KEY, NOW)
    return target


def test_a_database_without_a_shop_is_no_backup(place, tmp_path):
    with pytest.raises(NothingToKeep, match="holds no shop"):
        keep_of(place.database, tmp_path)
    assert not list(tmp_path.glob("*old*"))


def test_no_backup_takes_the_place_of_another(database, keep):
    path = keep()
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        keep()
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_later_backup_holds_what_came_since(database, sale, keep, place):
    keep()
    with database.transaction() as session:
        make_product(session, name="Later")
    place.restore(keep("later.zip", now=after(hours=1)), after(hours=2))
    with place.database.reading() as session:
        names = session.scalars(select(Product.name)).all()
    assert "Later" in names


def test_a_stopped_shop_shows_nobody_at_work(place):
    assert who_is_at_work(place.url) == ()
    upgrade(place.database)
    with place.database.engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        assert len(who_is_at_work(place.url)) == 1
