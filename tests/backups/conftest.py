"""A shop with a little of everything, backed up and restored into other databases."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from app import schema_migrations
from app.backups import (
    Manifest,
    Restored,
    Wish,
    make_backup,
    opened_archive,
    restore_backup,
    signing_key,
    verify_backup,
)
from app.backups.tables import is_kept
from app.db import Database
from app.integrations.files import FolderFiles
from app.models import (
    Base,
    Basket,
    BasketLine,
    InboxMessage,
    InboxSource,
    LoginSession,
    Notification,
    Picture,
    PictureState,
)
from tests.conftest import DATABASES
from tests.core import ask_to_pay, buy, database_snapshot, make_buyer
from tests.factories import (
    NOW,
    make_category,
    make_comment,
    make_delivery,
    make_product,
    make_task,
    make_webhook,
)
from tests.postgres import create_database
from tests.refunding import (
    Sale,
    ask_refund,
    make_sale,
    refund_whole,
    stray_money,
)

KEY = signing_key("a-secret-of-this-shop")
KEPT_TABLES = tuple(table.name for table in Base.metadata.sorted_tables if is_kept(table.name))
AWKWARD = "tab\there, a \\N, a \\. and a \\\\,\nnew line,\r\x0b\x0c\x08 — ñandú 🧺 'quote' \"two\""
PICTURE = "0123456789abcdef0123456789abcdef"


def fill_shop(session) -> Sale:
    """Rows in most tables, with letters that a careless format would lose."""
    sale = make_sale(session)
    refund_whole(session, make_sale(session))
    ask_refund(session, sale.admin, sale.payment, reason="Too small")
    stray_money(session)
    shoes = make_category(session, "Shoes", make_category(session, "Clothes"))
    product = make_product(session, name=f"Kikoi {AWKWARD[:40]}", description=AWKWARD)
    product.category_id = shoes.id
    make_comment(session, sale.buyer, product, body=AWKWARD)
    make_task(session, sale.admin, title="Pack", description=AWKWARD)
    make_delivery(session, make_webhook(session, sale.admin, event_types=["order.paid"]))
    ask_to_pay(session, buy(session, make_buyer(session), (product, 2)))
    session.add(
        Notification(
            user_id=sale.buyer.id, kind="note", title="Karibu", body=AWKWARD, created_at=NOW
        )
    )
    session.add(
        InboxMessage(
            source=InboxSource.STK_CALLBACK,
            payment_id=sale.payment.id,
            body=bytes(range(256)),
            headers={"User-Agent": AWKWARD},
            received_at=NOW + timedelta(microseconds=5),
            processed_at=NOW,
        )
    )
    basket = Basket(user_id=sale.buyer.id, created_at=NOW, updated_at=NOW)
    session.add(basket)
    session.flush()
    session.add(
        BasketLine(
            basket_id=basket.id, product_id=product.id, quantity=2, price_cents=1, created_at=NOW
        )
    )
    session.add(
        LoginSession(
            id="f" * 32, user_id=sale.buyer.id, refresh_jti="j", created_at=NOW, expires_at=NOW
        )
    )
    session.add(
        Picture(
            key=PICTURE,
            user_id=product.seller_id,
            product_id=product.id,
            state=PictureState.IN_USE,
            created_at=NOW,
        )
    )
    session.flush()
    return sale


@pytest.fixture
def sale(database) -> Sale:
    with database.transaction() as session:
        return fill_shop(session)


@pytest.fixture
def media(tmp_path) -> Path:
    folder = tmp_path / "media"
    for name, content in (("320.webp", b"small"), ("640.webp", bytes(range(256)) * 9)):
        FolderFiles(folder).write(f"{PICTURE}/{name}", content)
    return folder


@pytest.fixture
def keep(database, tmp_path, media) -> Callable[..., Path]:
    """Makes a backup of the shop of this test; answers its file."""

    def make(name: str = "sokoni-20261122T090000Z.zip", **options) -> Path:
        target = tmp_path / "backups" / name
        target.parent.mkdir(exist_ok=True)
        options = {"media": media, "key": KEY, "now": NOW, **options}
        make_backup(
            database,
            options.pop("media"),
            target,
            options.pop("key"),
            options.pop("now"),
            **options,
        )
        return target

    return make


@dataclass
class Place:
    """A database, and a folder of pictures, that a backup is restored into."""

    url: str
    media: Path
    opened: list[Database] = field(default_factory=list)

    @property
    def files(self) -> FolderFiles:
        return FolderFiles(self.media)

    def restore(self, path: Path, now=NOW, *, key: bytes | None = KEY, **wish) -> Restored:
        self.close()
        return restore_backup(path, self.url, self.files, Wish(**wish), now, key=key)

    @property
    def database(self) -> Database:
        if not self.opened:
            self.media.parent.joinpath(self.media.name.removesuffix("-media")).mkdir(exist_ok=True)
            self.opened.append(Database(self.url))
        return self.opened[0]

    def close(self) -> None:
        while self.opened:
            self.opened.pop().dispose()

    def rows(self) -> dict[str, list]:
        """Every row of every table that backups hold."""
        kept = database_snapshot(self.database)
        return {name: kept[name] for name in KEPT_TABLES}


@pytest.fixture
def make_place(request, tmp_path):
    """Makes empty databases, of the kind that is named, without tables."""
    made: list[Place] = []

    def make(kind: str) -> Place:
        number = len(made)
        if kind == "sqlite":
            url = f"sqlite:///{tmp_path}/place{number}/shop.db"
        else:
            uri = request.getfixturevalue("postgres_uri")
            worker = request.getfixturevalue("worker_id")
            url = create_database(uri, f"sokoni_place{number}_{worker}")
        place = Place(url, tmp_path / f"place{number}-media")
        made.append(place)
        return place

    yield make
    for place in made:
        place.close()


@pytest.fixture
def place(make_place, database_kind) -> Place:
    """An empty database of the kind of this test."""
    return make_place(database_kind)


@pytest.fixture(params=DATABASES)
def other_place(make_place, request) -> Place:
    """An empty database of each kind in turn, whatever the kind of the shop."""
    return make_place(request.param)


@pytest.fixture
def filled_place(place) -> Place:
    """A shop of another day, in a database of the kind of this test."""
    schema_migrations.upgrade(place.database)
    with place.database.transaction() as session:
        make_sale(session)
    place.close()
    return place


def read(path: Path, key: bytes | None = KEY) -> Manifest:
    with opened_archive(path, key) as archive:
        return verify_backup(archive)


def rows_of(database) -> dict[str, list]:
    kept = database_snapshot(database)
    return {name: kept[name] for name in KEPT_TABLES}
