"""Backups and restores on which something breaks: what was there stays, and nothing looks whole
that is not.
"""

import json
import threading
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import text

from app.backups import (
    BadBackup,
    RestoreRefused,
    open_keeper,
    opened_archive,
    prune_backups,
    remove_abandoned,
)
from app.backups.archive import MANIFEST, SIGNATURE, _sign
from app.db import Database
from app.schema_migrations import upgrade
from app.services.audit import audit
from tests.backups.conftest import KEY, Place, read, rows_of
from tests.core import after, ask_to_pay, buy, make_buyer, pay
from tests.factories import NOW, make_product
from tests.races.starting_line import together

pytestmark = pytest.mark.fault("F48")


def sell(database, number: int) -> None:
    with database.transaction() as session:
        buyer = make_buyer(session)
        order = buy(session, buyer, (make_product(session, name=f"Boots {number}"), 1))
        pay(session, ask_to_pay(session, order))


def test_a_backup_made_while_people_buy_is_one_moment(database, keep, place):
    sell(database, 0)
    stop, sold = threading.Event(), threading.Event()

    def go_on_selling():
        number = 0
        while not stop.is_set():
            number += 1
            sell(database, number)
            sold.set()

    def make_backups():
        sold.wait()
        made = []
        for number in range(3):
            sold.clear()
            made.append(keep(f"backup{number}.zip", on_progress=lambda _: sold.wait(5)))
        stop.set()
        return made

    *_, paths = together([go_on_selling, go_on_selling, make_backups])
    for hour, path in enumerate(paths):
        manifest = read(path)
        assert manifest.rows_of("orders") >= 2
        assert place.restore(path, after(hours=hour), replace=True, moved=True).findings == []
        with place.database.reading() as session:
            assert audit(session, NOW) == []
            found = session.execute(text("SELECT count(*) FROM orders WHERE status = 'paid'"))
            assert found.scalar_one() == manifest.rows_of("orders")


def edit(path: Path, *, entry: str, change, sign_with: bytes | None = None) -> Path:
    """The same backup with one part of it changed, signed anew where a key is given."""
    edited = path.with_name("edited.zip")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(edited, "w") as new:
        for name in old.namelist():
            content = change(old.read(name)) if name == entry else old.read(name)
            if name == SIGNATURE and sign_with is not None:
                content = _sign(change(old.read(MANIFEST)), sign_with).encode()
            new.writestr(name, content)
    return edited


def test_one_changed_byte_is_noticed_wherever_it_is(database, sale, keep, place):
    path = keep()
    manifest = read(path)
    entries = [part.entry for part in (*manifest.tables, *manifest.uploads)]
    filled = [part.entry for part in manifest.tables if part.row_count] + entries[-2:]
    for entry in filled:
        edited = edit(path, entry=entry, change=lambda content: content[:-2] + b"~\n")
        with pytest.raises(BadBackup, match="is not what it was"):
            place.restore(edited)
    for entry in (MANIFEST, SIGNATURE):
        edited = edit(path, entry=entry, change=lambda content: content.replace(b"1", b"2"))
        with pytest.raises(BadBackup, match="It was changed after it was made"):
            place.restore(edited)
    assert not place.media.exists()


def test_a_backup_that_makes_somebody_an_admin_is_refused(database, sale, keep, place):
    """Whoever can write where backups lie has no key to sign what he wrote."""
    path = keep()

    def promote(content):
        return content.replace(b"\tcustomer\t", b"\tadmin\t")

    edited = edit(path, entry="rows/users.copy", change=promote, sign_with=b"another key")
    with pytest.raises(BadBackup):
        place.restore(edited)
    with pytest.raises(BadBackup, match="is not what it was"):
        place.restore(edited, key=None)


def test_a_backup_of_another_shop_is_refused_unless_it_is_wanted(database, sale, keep, place):
    path = keep(key=b"the key of another shop")
    with pytest.raises(BadBackup, match="another SECRET_KEY"):
        place.restore(path)
    assert place.restore(path, key=None).findings == []


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("format", 2, "Its format is 2, and this version of the software reads 1"),
        ("revision", "9999", "newer version of the software"),
        ("tables", "none", "cannot be read"),
        ("uploads_kept", "elsewhere", "pictures that it says are kept elsewhere"),
        ("ledger_cents", {"mpesa": 1}, "The books hold"),
        ("uploads", [], "other parts than it does"),
    ],
)
def test_a_backup_that_does_not_fit_is_refused(
    database, sale, keep, filled_place, field, value, sentence
):
    def change(content):
        return json.dumps({**json.loads(content), field: value}).encode()

    before = filled_place.rows()
    edited = edit(keep(), entry=MANIFEST, change=change, sign_with=KEY)
    with pytest.raises(BadBackup, match=sentence):
        filled_place.restore(edited, replace=True)
    assert filled_place.rows() == before


def test_a_picture_is_never_written_outside_of_the_store(database, sale, keep, place, tmp_path):
    def change(content):
        values = json.loads(content)
        values["uploads"][0]["path"] = "../../outside"
        return json.dumps(values).encode()

    edited = edit(keep(), entry=MANIFEST, change=change, sign_with=KEY)
    renamed = edited.with_name("renamed.zip")
    with zipfile.ZipFile(edited) as old, zipfile.ZipFile(renamed, "w") as new:
        for name in old.namelist():
            is_first = name.endswith("320.webp")
            new.writestr("uploads/../../outside" if is_first else name, old.read(name))
    with pytest.raises(BadBackup, match="outside of the store"):
        place.restore(renamed)
    assert not (tmp_path.parent / "outside").exists()


def test_half_a_file_is_no_backup(database, sale, keep, place):
    path = keep()
    whole = path.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(BadBackup):
            place.restore(path)
    strange = path.with_name("strange.zip")
    with zipfile.ZipFile(strange, "w") as file:
        file.writestr("holiday.txt", "sea")
    with pytest.raises(BadBackup, match="no backup of this software"):
        place.restore(strange)


def test_a_flipped_bit_in_a_packed_part_is_no_accident_that_passes(database, sale, keep, place):
    path = keep()
    whole = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as file:
        at = file.getinfo("rows/orders.copy").header_offset + 90
    whole[at] ^= 0x40
    path.write_bytes(bytes(whole))
    with pytest.raises(BadBackup):
        place.restore(path)


def test_rows_that_break_a_rule_of_the_tables_change_nothing(database, sale, keep, filled_place):
    path = keep()
    before = filled_place.rows()
    with zipfile.ZipFile(path) as file:
        rows = file.read("rows/payments.copy")
    wrong = rows.replace(b"\tsucceeded\t", b"\tsurprised\t")
    assert wrong != rows

    def change(content):
        values = json.loads(content)
        for table in values["tables"]:
            if table["name"] == "payments":
                table["sha256"] = sha256(wrong).hexdigest()
        return json.dumps(values).encode()

    signed = edit(path, entry=MANIFEST, change=change, sign_with=KEY)
    with zipfile.ZipFile(signed) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, wrong if name == "rows/payments.copy" else old.read(name))
    with pytest.raises(BadBackup, match="The rows of payments do not fit"):
        filled_place.restore(path, replace=True)
    assert filled_place.rows() == before


def test_a_shop_is_only_replaced_when_that_is_asked_for(database, sale, keep, filled_place):
    path, before = keep(), filled_place.rows()
    with pytest.raises(RestoreRefused, match="There is a shop in this database already"):
        filled_place.restore(path)
    assert filled_place.rows() == before

    restored = filled_place.restore(path, after(hours=1), replace=True, moved=True)
    rows = filled_place.rows()
    assert rows.pop("restores")
    assert rows == {name: found for name, found in rows_of(database).items() if name != "restores"}
    assert old_rows(filled_place, restored.kept_as) == before
    if filled_place.url.startswith("sqlite"):  # who may use the old file may use the new one
        new = Path(filled_place.database.url.database)
        assert new.stat().st_mode == Path(restored.kept_as).stat().st_mode


def old_rows(place, kept_as: str) -> dict[str, list]:
    """What was kept of the shop before, put back."""
    if place.url.startswith("sqlite"):
        place.close()
        old = Place(f"sqlite:///{kept_as}", place.media)
        rows = old.rows()
        old.close()
        return rows
    schema = kept_as.removeprefix("schema ")
    place.close()
    database = open_keeper(place.url, schema=schema)
    rows = rows_of(database)
    database.dispose()
    return rows


def test_an_empty_migrated_database_counts_as_empty(database, sale, keep, place):
    upgrade(place.database)
    restored = place.restore(keep())
    assert restored.kept_as is None
    assert place.rows()["orders"]


def test_a_running_shop_is_not_replaced(database, sale, keep, filled_place):
    path, before = keep(), filled_place.rows()
    filled_place.close()
    running = Database(filled_place.url)
    with running.engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        with pytest.raises(RestoreRefused, match=r"The shop is in use: .*Stop its web servers"):
            filled_place.restore(path, replace=True)
        connection.rollback()
        restored = filled_place.restore(path, replace=True, force=True)
    running.dispose()
    assert restored.findings == []
    assert len(filled_place.rows()["orders"]) == 3
    assert old_rows(filled_place, restored.kept_as) == before


def test_a_backup_that_was_made_at_work_is_no_move(database, sale, keep, place):
    path = keep(at_work=("2 connections from 10.0.0.7",))
    with pytest.raises(RestoreRefused, match="That is no move"):
        place.restore(path, moved=True)
    assert place.restore(path).precautions is not None


def test_what_stays_of_a_failed_restore_is_in_nobodys_way(database, sale, keep, filled_place):
    path = keep(key=b"another")
    for _ in range(2):
        with pytest.raises(BadBackup):
            filled_place.restore(path, replace=True)
    if filled_place.url.startswith("sqlite"):
        folder = Path(filled_place.database.url.database).parent
        assert {file.name for file in folder.iterdir()} <= {"shop.db", "shop.db-wal", "shop.db-shm"}
    else:
        with filled_place.database.reading() as session:
            schemas = session.execute(
                text("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'sokoni%'")
            ).all()
        assert schemas == []


def test_a_backup_that_fails_leaves_nothing(database, sale, keep):
    def full(_sentence):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        keep("full.zip", on_progress=full)
    good = keep("good.zip")
    assert list(good.parent.iterdir()) == [good]


def test_only_backups_are_pruned_and_the_newest_stay(tmp_path):
    names = [f"sokoni-2026112{day}T023000Z.zip" for day in range(1, 6)]
    others = ["sokoni.db", "sokoni-20261121T023000Z.zip.gpg", "notes.txt", "sokoni-old.zip"]
    for name in (*names, *others):
        (tmp_path / name).write_text("x")
    assert [path.name for path in prune_backups(tmp_path, 2)] == names[:3]
    assert {path.name for path in tmp_path.iterdir()} == {*names[3:], *others}
    assert prune_backups(tmp_path, 9) == []


def test_what_a_killed_backup_left_is_removed_and_what_is_being_made_is_not(database, keep):
    left = keep().parent / ".sokoni-20261121T023000Z.zip.unfinished"
    left.write_bytes(b"half")
    seen = []

    def look(_sentence):
        if not seen:
            seen.append(sorted(path.name for path in remove_abandoned(left.parent)))
            seen.append(sorted(path.name for path in left.parent.iterdir()))

    path = keep("sokoni-20261123T023000Z.zip", on_progress=look)
    assert seen == [
        [left.name],
        [".sokoni-20261123T023000Z.zip.unfinished", "sokoni-20261122T090000Z.zip"],
    ]
    assert read(path).rows_of("orders") == 0


def test_no_migration_runs_while_a_backup_is_made(database, database_kind, keep):
    if database_kind == "sqlite":
        pytest.skip("a reader of SQLite sees the tables as they were as well")
    held = []

    def look(sentence):
        if not sentence.endswith("rows"):
            return  # the pictures are no part of the moment
        with database.engine.connect() as connection:
            held.append(
                connection.execute(
                    text(
                        "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database"
                        " WHERE locktype = 'advisory' AND granted AND datname = current_database()"
                    )
                ).scalar_one()
            )

    keep(on_progress=look)
    assert set(held) == {1}
    with database.engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(7046625)"))
        with pytest.raises(TimeoutError, match="A migration is under way"):
            keep("other.zip")
        connection.execute(text("SELECT pg_advisory_unlock(7046625)"))


def test_the_signature_is_asked_for_before_anything_is_read(database, keep):
    with (
        pytest.raises(BadBackup, match="another SECRET_KEY"),
        opened_archive(keep(), b"not the key"),
    ):
        pass
