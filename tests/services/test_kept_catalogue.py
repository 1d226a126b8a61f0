"""What is kept of the catalogue is what the catalogue is, whoever changed it and however."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock

import psycopg
import pytest
from sqlalchemy import event, text, update

from app.db import Database
from app.models import Category, Product
from app.services.kept_catalogue import Kept, KeptCatalogue
from app.services.kept_catalogue.marks import MOST_PRODUCTS
from drill.processes import wait_until
from tests.factories import make_category, make_product, make_user

ROOM = 1_000_000


class Shelf:
    """Keeps one answer for each product and one for a list, and counts how often each is made."""

    def __init__(self, database, most_bytes: int = ROOM) -> None:
        self.database = database
        self.kept = KeptCatalogue(lambda: database, most_bytes)
        self.made: list[object] = []

    def price(self, product_id: int) -> int:
        return self._get(product_id, frozenset({product_id}), self._prices)[product_id]

    def prices(self, key: str = "list", *, shown: set[int] = frozenset(), **options) -> dict:
        return self._get(key, frozenset(shown), self._prices, **options)

    def _get(self, key, shown, build, *, size: int = 100, **options):
        def make() -> Kept:
            self.made.append(key)
            return Kept(build(), size, shown, **options)

        return self.kept.get(key, make).content

    def _prices(self) -> dict[int, int]:
        with self.database.reading() as session:
            rows = session.execute(text("SELECT id, price_cents FROM products")).all()
        return {row.id: row.price_cents for row in rows}


@pytest.fixture
def products(database):
    with database.transaction() as session:
        seller = make_user(session, "seller")
        return [make_product(session, seller, price_cents=100, stock=9).id for _ in range(3)]


@pytest.fixture
def shelf(database, products):
    return Shelf(database)


def change(database, statement: str, **values) -> None:
    with database.transaction() as session:
        session.execute(text(statement), values)


def sell(database, product_id: int) -> None:
    change(
        database,
        "UPDATE products SET reserved = reserved + 1, version = version + 1 WHERE id = :id",
        id=product_id,
    )


def test_an_answer_is_made_once_while_nothing_changes(shelf, products):
    assert [shelf.price(products[0]) for _ in range(3)] == [100, 100, 100]
    assert shelf.made == [products[0]]
    counts = shelf.kept.counts
    assert (counts.hits, counts.misses, counts.entries, counts.dropped) == (2, 1, 1, 0)


def test_a_change_shows_on_the_next_request_and_only_where_it_is_shown(shelf, database, products):
    one, other, _third = products
    for product_id in products:
        shelf.price(product_id)
    shelf.prices("both", shown={one, other})
    shelf.made.clear()
    sell(database, one)
    for product_id in products:
        shelf.price(product_id)
    shelf.prices("both", shown={one, other})
    assert shelf.made == [one, "both"]
    assert shelf.kept.counts.dropped == 2


def test_what_follows_stock_is_made_anew_after_any_sale(shelf, database, products):
    for _ in range(2):
        shelf.prices("there", follows_stock=True)
    sell(database, products[2])
    shelf.prices("there", follows_stock=True)
    assert shelf.made == ["there", "there"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE products SET price_cents = 7 WHERE id = :id",
        "UPDATE products SET name = 'Hat' WHERE id = :id",
        "UPDATE products SET description = 'Warm' WHERE id = :id",
        "UPDATE products SET sku = 'B-1' WHERE id = :id",
        "UPDATE products SET deleted_at = created_at WHERE id = :id",
        "DELETE FROM stock_movements WHERE product_id = :id",
        (
            "INSERT INTO categories (name, slug, position, created_at, updated_at)"
            " SELECT 'Hats', 'hats', 0, created_at, updated_at FROM products WHERE id = :id"
        ),
    ],
)
def test_what_moves_a_product_to_another_list_changes_every_list(
    shelf, database, products, statement
):
    shelf.prices()
    if "stock_movements" in statement:  # append-only: so the product goes with what names it
        with database.transaction() as session:
            lone = make_product(session, stock=0).id
        shelf.prices()
        change(database, "DELETE FROM products WHERE id = :id", id=lone)
    else:
        change(database, statement, id=products[0])
    shelf.made.clear()
    prices = shelf.prices()
    assert shelf.made == ["list"]
    assert prices == shelf._prices()


def test_a_category_that_is_renamed_or_gone_changes_every_list(shelf, database):
    with database.transaction() as session:
        category = make_category(session, "Shoes").id
    shelf.prices()
    for change_category in (
        update(Category).where(Category.id == category).values(slug="boots"),
        Category.__table__.delete().where(Category.id == category),
    ):
        shelf.made.clear()
        with database.transaction() as session:
            session.execute(change_category)
        shelf.prices()
        shelf.prices()
        assert shelf.made == ["list"]


def test_what_was_not_committed_changes_nothing(shelf, database, products):
    shelf.price(products[0])
    with database.transaction() as session:
        session.execute(update(Product).values(price_cents=7))
        session.rollback()
    assert shelf.price(products[0]) == 100
    with database.transaction() as session:
        point = session.begin_nested()
        session.execute(update(Product).values(price_cents=7))
        point.rollback()
    assert shelf.price(products[0]) == 100
    assert shelf.made == [products[0]]


def test_each_process_hears_of_what_another_changed(shelf, database, products):
    other = Shelf(Database(database.url.render_as_string(hide_password=False)))
    try:
        assert (shelf.price(products[0]), other.price(products[0])) == (100, 100)
        change(other.database, "UPDATE products SET price_cents = 7")
        assert (shelf.price(products[0]), other.price(products[0])) == (7, 7)
    finally:
        other.database.dispose()


def test_so_many_changes_that_they_are_not_counted_change_everything(shelf, database, products):
    with database.transaction() as session:
        seller = make_user(session, "seller")
        many = [make_product(session, seller, stock=0).id for _ in range(MOST_PRODUCTS + 1)]
    shelf.price(products[0])
    change(database, "UPDATE products SET version = 2 WHERE id >= :first", first=many[0])
    shelf.made.clear()
    shelf.price(products[0])
    shelf.price(products[0])
    assert shelf.made == [products[0]]


def test_what_finds_no_room_is_made_anew_the_longest_unused_first(database, products):
    one, other, third = products
    shelf = Shelf(database, most_bytes=2 * (100 + 1000 + 150))
    for product_id in (one, other, one, third):
        shelf.price(product_id)
    assert shelf.kept.counts.evicted == 1
    shelf.made.clear()
    for product_id in (one, third, other):
        shelf.price(product_id)
    assert shelf.made == [other]
    assert shelf.kept.counts.kept_bytes <= 2 * (100 + 1000 + 150)


def test_what_is_bigger_than_all_room_is_sent_and_not_kept(database, products):
    shelf = Shelf(database, most_bytes=0)
    assert [shelf.price(products[0]) for _ in range(2)] == [100, 100]
    assert (shelf.made, shelf.kept.counts.entries) == ([products[0]] * 2, 0)


def test_of_many_who_want_the_same_one_makes_it(shelf, products):
    is_building, may_go_on = Event(), Event()

    def slow() -> Kept:
        shelf.made.append("slow")
        is_building.set()
        may_go_on.wait(20)
        return Kept("done", 4)

    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(shelf.kept.get, "slow", slow)
        assert is_building.wait(20)
        others = [pool.submit(shelf.kept.get, "slow", slow) for _ in range(4)]
        may_go_on.set()
        assert {one.result(20).content for one in [first, *others]} == {"done"}
    assert shelf.made == ["slow"]


def test_who_fails_to_make_it_leaves_the_others_to_try(shelf):
    def fail() -> Kept:
        raise LookupError("not there")

    for _ in range(2):
        with pytest.raises(LookupError):
            shelf.kept.get("missing", fail)
    assert shelf.kept.get("missing", lambda: Kept("there now", 9)).content == "there now"


def test_what_changes_while_an_answer_is_made_is_not_missed(shelf, database, products):
    """The change is committed after the rows were read, and heard of by another request."""
    one, other, _third = products

    def interrupted() -> Kept:
        prices = shelf._prices()
        change(database, "UPDATE products SET price_cents = 7 WHERE id = :id", id=one)
        shelf.price(other)  # looks, and so takes the news away
        return Kept(prices, 10, frozenset({one}))

    assert shelf.kept.get("late", interrupted).content[one] == 100
    assert shelf.prices("late", shown={one})[one] == 7


def test_a_database_that_does_not_answer_is_no_reason_to_send_what_is_kept(
    shelf, database, products, monkeypatch
):
    shelf.price(products[0])

    def fail(*_arguments):
        raise TimeoutError("no answer")

    monkeypatch.setattr(database.asking, "rows", fail)
    with pytest.raises(TimeoutError):
        shelf.price(products[0])
    monkeypatch.undo()
    assert shelf.price(products[0]) == 100
    assert shelf.made == [products[0]] * 2  # nobody knows what was missed meanwhile


class TestPostgresql:
    @pytest.fixture
    def database_kind(self):
        return "postgresql"

    def test_a_long_transaction_shows_when_it_commits_though_younger_ones_did_before(
        self, shelf, database, products
    ):
        one, other, _third = products
        with database.engine.connect() as long:
            long.execute(text("UPDATE products SET price_cents = 7 WHERE id = :id"), {"id": one})
            sell(database, other)
            assert (shelf.price(one), shelf.price(other)) == (100, 100)
            sell(database, other)
            shelf.price(other)
            assert shelf.price(one) == 100
            long.commit()
        assert shelf.price(one) == 7

    def test_a_lost_connection_is_replaced_and_nothing_is_believed(self, shelf, database, products):
        shelf.price(products[0])
        with psycopg.connect(plain(database), autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        database.engine.dispose()
        assert shelf.price(products[0]) == 100
        assert shelf.made == [products[0]] * 2
        assert database.asking.lost == 1

    def test_a_session_that_switches_triggers_off_is_heard_of_all_the_same(
        self, shelf, database, products
    ):
        shelf.price(products[0])
        with database.transaction() as session:
            session.execute(text("SET LOCAL session_replication_role = replica"))
            session.execute(text("UPDATE products SET price_cents = 7"))
        assert shelf.price(products[0]) == 7

    def test_marks_that_came_with_a_dump_of_another_server_disturb_nobody(
        self, shelf, database, products
    ):
        change(database, "UPDATE catalogue_marks SET changed_by = changed_by + 1000000000000")
        try:
            for _ in range(3):
                shelf.price(products[0])
            assert shelf.made == [products[0]]
        finally:
            change(database, "DELETE FROM catalogue_marks")

    def test_who_marks_a_product_waits_for_nobody_who_marks_another(self, database, products):
        """Were there one row that all have to write, the second would wait for the first."""
        with database.engine.connect() as first, database.engine.connect() as second:
            second.execute(text("SET lock_timeout = '200ms'"))
            for connection, product_id in ((first, products[0]), (second, products[1])):
                connection.execute(
                    text("UPDATE products SET reserved = reserved + 1 WHERE id = :id"),
                    {"id": product_id},
                )
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            assert second.execute(text(waiting)).scalar_one() == 0
            second.commit()
            first.commit()


class CountedLock:
    """A lock that counts who has come to it."""

    def __init__(self) -> None:
        self._lock, self.came = Lock(), 0

    def __enter__(self) -> None:
        self.came += 1
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_who_comes_while_a_look_is_under_way_shares_the_next_with_all_others(shelf, database):
    rows, asked, may_answer = database.asking.rows, [], Event()
    watch, lock = shelf.kept._watch, CountedLock()
    watch._looking = lock

    def slow(*arguments):
        asked.append(arguments)
        may_answer.wait(20)
        return rows(*arguments)

    watch.look()
    lock.came = 0
    database.asking.rows = slow
    try:
        with ThreadPoolExecutor(8) as pool:
            looks = [pool.submit(watch.look)]
            wait_until(lambda: asked, "the first one asks")
            looks += [pool.submit(watch.look) for _ in range(7)]
            wait_until(lambda: lock.came == 8, "the others wait")
            may_answer.set()
            for look in looks:
                look.result(20)
    finally:
        del database.asking.rows
    assert len(asked) == 2


def plain(database) -> str:
    return database.url.set(drivername="postgresql").render_as_string(hide_password=False)


def test_a_question_of_the_driver_s_own_that_is_wrong_is_told_as_any_other(database):
    from sqlalchemy.exc import DBAPIError

    with pytest.raises(DBAPIError, match="no_such_table"):
        database.asking.rows("SELECT 1 FROM no_such_table", {})
    assert database.asking.rows("SELECT 1", {})[0][0] == 1


def test_asking_begins_no_transaction(database):
    said = []

    def note(connection, *_rest) -> None:
        said.append(connection)

    event.listen(database.engine, "begin", note)
    try:
        assert [tuple(row) for row in database.asking.rows("SELECT 1", {})] == [(1,)]
    finally:
        event.remove(database.engine, "begin", note)
    assert said == []


def test_what_was_made_of_something_kept_goes_when_that_is_not_true_any_more(
    shelf, database, products
):
    one, other, _third = products
    for product_id in (one, other):
        shelf.price(product_id)
        shelf.kept.keep_beside(shelf.kept.find(product_id), ("copy", product_id), "made of it", 50)
    sell(database, one)
    assert shelf.kept.find(("copy", one)) is None
    assert shelf.kept.find(("copy", other)).content == "made of it"


def test_nothing_is_kept_beside_what_was_dropped_meanwhile(shelf, database, products):
    shelf.price(products[0])
    before = shelf.kept.find(products[0])
    sell(database, products[0])
    shelf.price(products[0])  # which is another one now
    shelf.kept.keep_beside(before, "copy", "of what was", 50)
    assert shelf.kept.find("copy") is None
    shelf.kept.keep_beside(Kept("never kept", 1), "copy", "of nothing", 50)
    assert shelf.kept.find("copy") is None
    assert shelf.kept.counts.entries == 1


def test_for_what_is_not_kept_the_database_is_not_asked(database):
    def no_database():
        raise AssertionError("It was asked.")

    assert KeptCatalogue(no_database, ROOM).find("nothing") is None


def test_what_is_asked_for_once_makes_way_for_what_is_asked_for_again(database):
    shelf = Shelf(database, most_bytes=20_000)  # each takes 1,100 at the least
    for _ in range(2):
        shelf.prices("the shop's own")
    for number in range(500):
        shelf.prices(f"made up {number}")
    shelf.made.clear()
    shelf.prices("the shop's own")
    shelf.prices("made up 499")
    shelf.prices("made up 0")
    assert shelf.made == ["made up 0"]
    assert shelf.kept.counts.kept_bytes <= 20_000


def test_what_is_not_asked_for_any_more_makes_way_however_often_it_was(database):
    shelf = Shelf(database, most_bytes=20_000)
    for _ in range(2):
        for number in range(17):
            shelf.prices(f"last year's {number}")
    for number in range(30):
        for _ in range(2):
            shelf.prices(f"this year's {number}")
    shelf.made.clear()
    for number in range(20, 30):
        shelf.prices(f"this year's {number}")
    assert shelf.made == []


def test_what_came_last_is_kept_though_it_is_more_than_the_share_of_the_new(database):
    shelf = Shelf(database, most_bytes=20_000)
    for _ in range(2):
        for number in range(10):
            shelf.prices(f"used {number}")
    for _ in range(2):
        shelf.prices("big", size=15_000)
    assert shelf.made.count("big") == 1
