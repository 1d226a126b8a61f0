"""Backup and restore as a person runs them: real processes, killed ones, a full disk, a shop that
runs.
"""

import random
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import select, text, update

from app import schema_migrations
from app.db import Database
from app.models import Payment, Refund, Restore
from app.services.restores import held_restores
from app.utils.clock import utc_now
from drill.environment import MANAGE, shop_environment
from drill.processes import Program, wait_until
from tests.backups.conftest import PICTURE, Place, fill_shop
from tests.refunding import make_sale

LARGE = random.Random(1).randbytes(300_000)
pytestmark = pytest.mark.fault("F48")


@dataclass
class Home:
    """A folder with a shop in it, whose commands are processes."""

    folder: Path
    place: Place

    def environment(self, **more: str) -> dict[str, str]:
        return {
            **shop_environment(
                database_url=self.place.url,
                queue_url=f"sqlite:///{self.folder}/queue.db",
                port=1,
                public_url="http://127.0.0.1:1",
                mpesa_base_url="http://127.0.0.1:1",
            ),
            "MEDIA_URL": str(self.place.media),
            **more,
        }

    def manage(self, *arguments: str, before: str = "", **more: str) -> subprocess.CompletedProcess:
        self.place.close()
        return subprocess.run(
            ["sh", "-c", f'{before}exec "$@"', "sh", sys.executable, MANAGE, *arguments],
            cwd=self.folder,
            env=self.environment(**more),
            capture_output=True,
            text=True,
            check=False,
        )

    def backups(self) -> list[Path]:
        return sorted((self.folder / "backups").iterdir())

    def only_backup(self) -> Path:
        (path,) = self.backups()
        return path


@pytest.fixture
def home(make_place, database_kind, tmp_path) -> Home:
    """A shop with a little of everything."""
    folder = tmp_path / "home"
    folder.mkdir()
    home = Home(folder, make_place(database_kind))
    schema_migrations.upgrade(home.place.database)
    with home.place.database.transaction() as session:
        fill_shop(session)
        # the clock of real processes is the real one, and of that day nothing would be open still
        for open_for_days in (Payment, Refund):
            session.execute(update(open_for_days).values(created_at=utc_now()))
    home.place.files.write(f"{PICTURE}/320.webp", LARGE)
    home.place.close()
    return home


@pytest.fixture
def other_home(make_place, database_kind, tmp_path) -> Home:
    """An empty place for the same shop, on the other kind of database."""
    folder = tmp_path / "other-home"
    folder.mkdir()
    return Home(folder, make_place("sqlite" if database_kind == "postgresql" else "postgresql"))


def test_a_shop_goes_from_one_database_to_the_other(home, other_home):
    made = home.manage("backup")
    assert (made.returncode, made.stderr) == (0, "")
    path = home.only_backup()
    assert re.fullmatch(r"sokoni-\d{8}T\d{6}Z\.zip", path.name)
    assert path.stat().st_mode & 0o777 == 0o600
    assert made.stdout.startswith(f"backups/{path.name}: ")
    assert made.stdout.endswith(" 1 pictures, 0.3 MB.\n")

    checked = home.manage("backup", "verify", str(path))
    assert checked.returncode == 0, checked.stderr
    assert "3 orders, 3 payments, 1 pictures" in checked.stdout
    assert re.search(r"^  mpesa +KES \d", checked.stdout, re.MULTILINE)

    restored = other_home.manage("restore", str(path), "--moved")
    assert (restored.returncode, restored.stderr) == (0, "")
    assert "3 orders, 3 payments, each row compared, and the books to the cent." in restored.stdout
    assert "The audit finds nothing." in restored.stdout
    rows = other_home.place.rows()
    assert rows.pop("restores")
    before = home.place.rows()
    del before["restores"]
    assert rows == before
    assert other_home.place.files.read(f"{PICTURE}/320.webp") == LARGE
    audited = other_home.manage("audit")
    assert audited.returncode == 0, audited.stdout


def test_a_restore_says_what_to_do_next_and_refunds_are_held_until_it_is_done(home):
    home.manage("backup")
    restored = home.manage("restore", str(home.only_backup()), "--replace", "--yes")
    assert restored.returncode == 0, restored.stderr
    for sentence in (
        "The shop before is kept as ",
        "\n       1  refunds that were still to be sent: unknown, each with a task\n",
        "\n       1  payments that will be asked about\n",
        "1. Start the web server and the worker",
        "2. python manage.py payments pull",
        "3. Export M-Pesa's statement from ",
        "5. python manage.py payments release-refunds",
        "6. python manage.py audit",
    ):
        assert sentence in restored.stdout
    assert home.manage("audit").returncode == 0
    refused = home.manage("payments", "release-refunds")
    assert refused.returncode == 1
    assert refused.stdout.startswith("No statement was read that covers ")
    assert refused.stderr.startswith("Refunds stay held.")
    with home.place.database.reading() as session:
        assert len(held_restores(session)) == 1

    released = home.manage("payments", "release-refunds", "--although", "A rehearsal.")
    assert released.returncode == 0, released.stderr
    assert released.stdout.endswith("Refunds are sent again: 0 wait for it.\n")
    with home.place.database.reading() as session:
        (restore,) = session.scalars(select(Restore)).all()
        assert restore.release_reason == "A rehearsal."
        assert restore.backup_name == home.only_backup().name


def test_a_person_types_a_word_before_a_shop_is_put_aside(home):
    home.manage("backup")
    path, before = str(home.only_backup()), home.place.rows()
    refused = home.manage("restore", path)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "There is a shop in this database already; --replace puts it aside.\n"
    silent = home.manage("restore", path, "--replace", before="echo no | ")
    assert silent.returncode == 1
    assert "Nothing was changed." in silent.stderr
    assert home.place.rows() == before
    asked = home.manage("restore", path, "--replace", before="echo replace | ")
    assert asked.returncode == 0, asked.stderr


def test_a_backup_killed_half_way_leaves_no_backup_and_the_next_one_clears_up(home):
    killed = home.manage("backup", SOKONI_FAILPOINT="backup_half_way")
    assert killed.returncode == -signal.SIGKILL
    (left,) = home.backups()
    assert re.fullmatch(r"\.sokoni-.*\.zip\.unfinished", left.name)
    assert left.stat().st_mode & 0o777 == 0o600
    refused = home.manage("restore", str(left), "--replace", "--yes")
    assert refused.returncode == 1
    assert refused.stderr.startswith("It is not whole")

    assert home.manage("backup").returncode == 0
    assert [path.suffix for path in home.backups()] == [".zip"]


@pytest.mark.fault("F45")
def test_a_full_disk_leaves_no_backup_and_the_shop_as_it_is(home):
    before = home.place.rows()
    full = home.manage("backup", before="ulimit -f 200; ")
    assert full.returncode == 1
    assert full.stderr == "It failed, and left nothing behind: File too large.\n"
    assert home.backups() == []
    assert home.place.rows() == before


@pytest.mark.parametrize(
    "point", ["restore_filled", "restore_staged", "half_of_the_places_changed"]
)
def test_a_restore_killed_on_the_way_leaves_the_shop_as_it_was(home, point):
    home.manage("backup")
    path = str(home.only_backup())
    with home.place.database.transaction() as session:
        make_sale(session)
    before = home.place.rows()
    killed = home.manage("restore", path, "--replace", "--yes", SOKONI_FAILPOINT=point)
    assert killed.returncode == -signal.SIGKILL
    # on PostgreSQL the server notices a moment later that nobody is there any more
    wait_until(lambda: home.manage("audit").returncode == 0, "the shop answers")
    assert home.place.rows() == before
    assert schema_migrations.differences(home.place.database) == []

    def is_restored() -> bool:
        again = home.manage("restore", path, "--replace", "--yes")
        assert again.returncode == 0 or "is in use" in again.stderr, again.stderr
        return again.returncode == 0

    wait_until(is_restored, "the killed one is gone")
    assert len(home.place.rows()["orders"]) == 3


def test_a_shop_that_runs_is_not_replaced(home):
    home.manage("backup")
    path, before = str(home.only_backup()), home.place.rows()
    home.place.close()
    worker = Program("worker", [sys.executable, MANAGE, "worker"], home.folder, home.environment())
    try:
        wait_until(lambda: is_seen(home.place.url), "the worker sweeps")
        refused = home.manage("restore", path, "--replace", "--yes")
    finally:
        worker.stop()
    assert refused.returncode == 1
    assert refused.stderr.startswith("The shop is in use: ")
    assert "Stop its web servers and workers first." in refused.stderr
    rows = home.place.rows()
    for name in ("orders", "ledger_entries", "restores"):
        assert rows[name] == before[name]
    home.place.close()
    assert home.manage("restore", path, "--replace", "--yes").returncode == 0


def is_seen(url: str) -> bool:
    database = Database(url)
    with database.reading() as session:
        seen = session.execute(text("SELECT count(*) FROM worker_heartbeats")).scalar_one()
    database.dispose()
    return bool(seen)


def test_old_backups_go_when_there_are_enough(home):
    folder = home.folder / "elsewhere"
    folder.mkdir()
    for day in range(1, 5):
        (folder / f"sokoni-2025010{day}T020000Z.zip").write_text("old")
    made = home.manage("backup", "--to", str(folder), "--keep", "2")
    assert made.returncode == 0, made.stderr
    names = sorted(path.name for path in folder.iterdir())
    assert names[0] == "sokoni-20250104T020000Z.zip"
    assert len(names) == 2
    assert made.stdout.count("Removed ") == 3


def test_what_cannot_be_is_said_in_one_line(home, tmp_path):
    (tmp_path / "holiday.zip").write_text("sea")
    for arguments, sentence in (
        (("backup", "verify", str(tmp_path / "holiday.zip")), "It is not whole (File is not a"),
        (("backup", "--to", "/proc/nowhere"), "It failed, and left nothing behind: No such file"),
    ):
        result = home.manage(*arguments)
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr.startswith(sentence)
        assert result.stderr.count("\n") == 1
    wrong = home.manage("restore", "not-there.zip")
    assert wrong.returncode == 2
    home.manage("backup")
    other = home.manage(
        "backup", "verify", str(home.only_backup()), SECRET_KEY="another-secret-" + "0123456789" * 3
    )
    assert other.returncode == 1
    assert "another SECRET_KEY" in other.stderr
