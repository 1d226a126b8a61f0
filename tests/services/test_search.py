from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text, update

from app import schema_migrations
from app.db import Database
from app.errors import InvalidInput, Unauthenticated
from app.models import Category, Product, Task
from app.models.base import MAX_CENTS
from app.policies import Role
from app.services.delete_product import delete_product
from app.services.search import (
    SearchAsk,
    SearchKind,
    Suggestion,
    postgresql_index,
    search,
    search_products,
    suggest,
)
from app.services.search.candidates import Candidate
from app.services.search.facets import facets_of
from app.services.search.index import index_of
from app.services.search.labels import price_labels
from app.services.search.values import CategoryCount, Expression, PriceCount, StockCount, Term
from app.services.search.words import forms_of, mistakes_between, spellings_of, words_of
from tests.core import after, refused
from tests.factories import NOW, actor_of, make_category, make_product, make_user
from tests.postgres import create_database


@pytest.fixture
def seller(session):
    return make_user(session, Role.SELLER)


@pytest.fixture
def make(session, seller):
    def make(name: str, **fields) -> Product:
        return make_product(session, fields.pop("seller", seller), name=name, **fields)

    return make


def names(session, query: str, **wanted) -> list[str]:
    """The names that a query finds, the best first."""
    session.flush()
    return [
        product.name for product, _ in search_products(session, SearchAsk(query, **wanted)).rows
    ]


def make_task(session, owner, title: str, **fields) -> Task:
    task = Task(title=title, owner_id=owner and owner.id, created_at=NOW, updated_at=NOW, **fields)
    session.add(task)
    session.flush()
    return task


def index_rows(session) -> list:
    """What the index is on disk: equal before and after, nobody touched it."""
    session.flush()
    if session.get_bind().dialect.name == "sqlite":
        tables = ("search_texts_data", "search_names_data", "search_words")
        return [session.execute(text(f"SELECT * FROM {table}")).all() for table in tables]
    return session.execute(text("SELECT ctid, * FROM search_products ORDER BY 2")).all()


# Words


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("Café-au-lait!", ["cafe", "au", "lait"]),
        ("cafe\u0301 CRÈME", ["cafe", "creme"]),
        ("USB-C 3.0/5v_x", ["usb", "c", "3", "0", "5v", "x"]),
        ("ЧАЙ чай שלום", ["чай", "чай", "שלום"]),
        ("\U0001f600 % * \" ' \\ \u200d \ufeff ' 5\ufe0f\u20e3", ["5"]),
        ("\0 \ue000c5", ["c5"]),
        ("", []),
    ],
)
def test_a_text_is_taken_apart_into_words(written, words):
    assert words_of(written) == words


def test_a_word_has_the_forms_of_its_plural_and_singular():
    assert forms_of("boot") == ("boot", "boots")
    assert forms_of("dress") == ("dress", "dresss", "dresses")
    assert forms_of("shoes") == ("shoes", "shoess", "shoeses", "shoe", "sho")
    assert forms_of("baby") == ("baby", "babys", "babies")
    assert "baby" in forms_of("babies")
    assert forms_of("5v") == ("5v",)
    assert forms_of("чай") == ("чай",)


@pytest.mark.parametrize(
    ("typed", "meant", "mistakes"),
    [
        ("hedphones", "headphones", 1),
        ("headphnoes", "headphones", 1),
        ("hedfones", "headphones", 3),
        ("kettel", "kettle", 1),
        ("kettleee", "kettle", 2),
        ("xetlle", "kettle", 2),
        ("tae", "tea", 1),
        ("tea", "tea", 0),
        ("", "tea", 3),
    ],
)
def test_mistakes_are_counted_and_near_words_share_a_spelling(typed, meant, mistakes):
    assert mistakes_between(typed, meant) == mistakes_between(meant, typed) == mistakes
    if mistakes <= 1:
        assert spellings_of(typed) & spellings_of(meant)


def test_facets_count_what_was_ranked_and_say_when_there_is_more():
    class Book:
        def __init__(self):
            self.names = {7: ("shoes", "Shoes"), 8: ("hats", "Hats")}

    found = [Candidate(1, 5, 7, 49_999, True), Candidate(2, 5, 8, 50_000, False)]
    found += [Candidate(3, 5, 8, 9_000_000, True), Candidate(4, 5, None, 0, True)]
    facets = facets_of(found, Book(), 4)

    assert (facets.counted, facets.is_capped, facets.stock) == (4, False, StockCount(3, 1))
    assert facets.categories == [
        CategoryCount("hats", "Hats", 2),
        CategoryCount("shoes", "Shoes", 1),
    ]
    assert facets.prices == [
        PriceCount(0, 50_000, 2),
        PriceCount(50_000, 100_000, 1),
        PriceCount(2_500_000, None, 1),
    ]
    assert facets_of(found, Book(), 3).is_capped is True


# The index is kept by the database


def test_the_index_follows_every_change_of_a_product(session, seller, make):
    boot = make("Rubber boot", description="For the rain", sku="RB-9")
    assert (
        names(session, "rubber") == names(session, "rain") == names(session, "RB-9") == [boot.name]
    )

    boot.name, boot.description, boot.sku = "Leather shoe", "For the sun", "LS-1"
    for gone in ("rubber", "boot", "rain", "RB"):
        assert names(session, gone) == []
    assert names(session, "leather sun ls-1") == ["Leather shoe"]

    delete_product(session, actor_of(seller), boot.id, NOW)
    assert names(session, "leather") == names(session, "leather sun") == []
    session.execute(update(Product).where(Product.id == boot.id).values(name="Felt slipper"))
    assert names(session, "felt") == []
    session.execute(update(Product).where(Product.id == boot.id).values(deleted_at=None))
    assert names(session, "felt") == ["Felt slipper"]


def test_a_product_whose_row_goes_leaves_the_index(session, make):
    make("Boot", stock=0)
    session.execute(text("DELETE FROM products"))
    assert names(session, "boot") == []
    make("Boot", stock=0, deleted_at=NOW)
    assert names(session, "boot") == []


def test_a_change_of_stock_or_by_a_few_shillings_does_not_touch_the_index(session, make):
    boot = make("Boot", price_cents=150_000)
    before = index_rows(session)
    boot.on_hand, boot.price_cents, boot.version, boot.updated_at = 3, 159_999, 2, after(hours=1)
    session.flush()
    session.execute(text("UPDATE products SET name = name, deleted_at = NULL, sku = sku"))
    assert index_rows(session) == before
    boot.price_cents = 160_000
    assert index_rows(session) != before
    before = index_rows(session)
    boot.name = "Shoe"
    assert index_rows(session) != before


@pytest.mark.parametrize(
    ("lowest", "highest", "labels"),
    [
        (None, None, [f"p{digits}" for digits in range(1, 13)]),
        (None, 20_000, ["p1", "p2", "p3", "p4", "p5d1", "p5d20"]),
        (95, 100, ["p2d95", "p2d96", "p2d97", "p2d98", "p2d99", "p3d10"]),
        (0, 0, ["p1d0"]),
        (8, None, ["p1d8", "p1d9", *(f"p{digits}" for digits in range(2, 13))]),
        (150_000, 159_998, ["p6d15"]),
        (MAX_CENTS, None, ["p12d99"]),
        (MAX_CENTS + 1, None, []),
        (5, 4, []),
    ],
)
def test_a_range_of_prices_is_made_of_few_labels(lowest, highest, labels):
    assert price_labels(lowest, highest) == [f"\ue000{label}" for label in labels]


@given(st.integers(0, MAX_CENTS), st.integers(0, MAX_CENTS), st.integers(0, MAX_CENTS))
def test_every_price_of_a_range_has_one_of_its_labels_and_no_other_is_far_from_it(one, two, price):
    low, high = sorted((one, two))
    digits = str(price)
    own = {f"p{len(digits)}", *(f"p{len(digits)}d{digits[:length]}" for length in (1, 2))}
    labels = {label[1:] for label in price_labels(low, high)}

    assert len(labels) <= 12 + 18 + 20
    if low <= price <= high:
        assert own & labels
    elif own & labels:
        assert low * 0.9 < price < high * 1.1


def test_a_range_of_prices_is_exact_and_follows_every_change(session, make):
    prices = [0, 1, 9, 10, 99, 100, 999, 1_000, 19_999, 20_000, 20_001, 20_999, 21_000, MAX_CENTS]
    made = {price: make("Boot", price_cents=price).id for price in prices}
    ends = [None, *prices, 5, 20_500]

    def found(low, high):
        ask = SearchAsk("boot", min_price_cents=low, max_price_cents=high)
        return {product.price_cents for product, _ in search_products(session, ask).rows}

    for low in ends:
        for high in ends:
            right = {
                price
                for price in prices
                if (low is None or low <= price) and (high is None or price <= high)
            }
            assert found(low, high) == right
    session.execute(update(Product).where(Product.id == made[99]).values(price_cents=30_000))
    assert found(90, 99) == set()
    assert found(30_000, 30_000) == {30_000}


def test_hits_beyond_the_cap_are_told_of_and_not_counted(session, make):
    make("Oldest boot", description="boot")
    for number in range(4):
        make("Pot" if number % 2 else "Boot", description="For a boot", stock=number // 2)

    def told(most: int, **wanted):
        found = search_products(session, SearchAsk("boot", most_ranked=most, **wanted))
        facets = found.facets
        return found.total, facets.counted, facets.is_capped, [row.name for row, _ in found.rows]

    names = ["Boot", "Boot", "Oldest boot", "Pot", "Pot"]
    assert told(6) == told(5) == (5, 5, False, names)
    assert told(4) == (5, 5, True, names)
    # Those of a name come first, however old they are; of the others the newest.
    assert told(3) == (4, 4, True, names[:4])
    assert told(1) == (2, 2, True, ["Boot", "Boot"])
    assert told(1, in_stock=False) == (2, 2, True, ["Boot", "Pot"])
    ask = SearchAsk("boot", most_ranked=3, limit=3)
    second = search_products(
        session, replace(ask, cursor=search_products(session, ask).next_cursor)
    )
    assert ([row.name for row, _ in second.rows], second.next_cursor) == (["Pot"], None)


def test_a_category_is_found_by_the_name_that_it_has_now_and_counts_what_lies_below(session, make):
    clothes = make_category(session, "Clothes")
    shoes = make_category(session, "Shoes", clothes)
    make("Oxford", category_id=shoes.id)
    make("Parka", category_id=clothes.id)
    before = index_rows(session)
    assert names(session, "clothes") == ["Parka", "Oxford"]
    assert names(session, "shoe") == names(session, "oxford clothes") == ["Oxford"]

    session.execute(update(Category).where(Category.id == shoes.id).values(name="Footwear"))
    assert (names(session, "shoes"), names(session, "footwear")) == ([], ["Oxford"])
    session.execute(update(Category).where(Category.id == shoes.id).values(parent_id=None))
    assert names(session, "clothes") == ["Parka"]
    assert index_rows(session) == before
    session.execute(update(Product).where(Product.name == "Parka").values(category_id=shoes.id))
    assert names(session, "footwear") == ["Parka", "Oxford"]


@pytest.mark.parametrize("revision", ["0004", "0021"])
def test_products_that_stood_there_before_the_index_are_in_it(
    database_kind, request, tmp_path, revision
):
    if database_kind == "sqlite":
        url = f"sqlite:///{tmp_path}/older.db"
    else:
        worker = request.getfixturevalue("worker_id")
        url = create_database(
            request.getfixturevalue("postgres_uri"), f"sokoni_{revision}_{worker}"
        )
    database = Database(url)
    schema_migrations.upgrade(database)
    with database.transaction() as session:
        make_product(session, name="Kettle", description="Whistles")
        make_product(session, name="Gone", deleted_at=NOW)
    schema_migrations.downgrade(database, revision)
    with database.transaction() as session:
        session.execute(update(Product).values(description="It whistles", price_cents=777))
    schema_migrations.upgrade(database)

    with database.reading() as session:
        for query in ("kettle", "whist", "ketle"):
            assert names(session, query) == ["Kettle"]
            assert names(session, query, min_price_cents=777, max_price_cents=777) == ["Kettle"]
            assert names(session, query, min_price_cents=778) == []
        assert names(session, "gone") == []
    with database.transaction() as session:
        session.execute(update(Product).values(name="Teapot"))
        assert (names(session, "kettle"), names(session, "teapot")) == ([], ["Teapot"])
    database.dispose()


def test_two_that_learn_the_same_word_at_once_do_not_wait_for_each_other(database):
    if database.is_sqlite:
        pytest.skip("a laptop has one writer at a time")
    with database.transaction() as session:
        sellers = [make_user(session, Role.SELLER) for _ in range(2)]
    with database._sessions() as one, database._sessions() as other:
        for session, owner in zip((one, other), sellers, strict=True):
            make_product(session, owner, name="Zumaridi ring")
        one.commit()
        other.commit()
    with database.reading() as session:
        assert names(session, "zumarridi") == ["Zumaridi ring"] * 2


# What is found, and in which order


def test_names_stand_before_codes_before_shelves_before_descriptions(session, make):
    kettles = make_category(session, "Kettles")
    make("Kettle")
    make("Kettle of steel")
    make("Big kettle of steel")
    make("Kettles")
    make("Kettledrum")
    make("Pot", sku="KETTLE-1")
    make("Jug", category_id=kettles.id)
    make("Cup", description="Not a kettle")
    make("Saucer")

    found = search_products(session, SearchAsk("kettle"))

    assert [(product.name, score) for product, score in found.rows] == [
        ("Kettle", 1.0),
        ("Kettle of steel", 0.9333),
        ("Kettles", 0.91),
        ("Big kettle of steel", 0.825),
        ("Kettledrum", 0.82),
        ("Pot", 0.72),
        ("Jug", 0.4),
        ("Cup", 0.2),
    ]
    assert (found.total, found.corrected, found.next_cursor) == (8, None, None)
    assert names(session, "KETTLE-1") == ["Pot"]


def test_all_words_must_be_found_and_of_the_last_the_beginning(session, make):
    make("Café table", description="Oak")
    make("Cafetière", description="Glass, for the table")

    make("ЧАЙ из Керичо", description="5\ufe0f\u20e3 " + "x" * 3000)
    assert names(session, "чай") == names(session, "керичо 5") == ["ЧАЙ из Керичо"]
    assert names(session, "table CAFE") == ["Café table", "Cafetière"]
    assert names(session, "CAFE table") == ["Café table"]
    assert names(session, "cafetiere") == names(session, "CAFETIÈRE") == ["Cafetière"]
    assert names(session, "table caf") == ["Café table", "Cafetière"]
    assert names(session, "ca table") == []
    assert names(session, "tables") == ["Café table", "Cafetière"]
    assert names(session, "table o") == ["Café table"]
    assert names(session, "a b c d e f g table") == []
    assert names(session, "table " * 8 + "nothing behind the eighth word counts") == [
        "Café table",
        "Cafetière",
    ]


def test_a_typing_error_is_forgiven_only_where_the_query_finds_nothing(session, make):
    electronics = make_category(session, "Electronics")
    make("Wireless headphones", category_id=electronics.id)
    make("Tea", stock=0)
    gone = make("Zebra print")
    session.delete(gone) if gone.on_hand == 0 else setattr(gone, "deleted_at", NOW)

    for typed, corrected in (
        ("hedphones", "headphones"),
        ("headphnoes", "headphones"),
        ("haedfones", None),
        ("wirless hedphones", "wireless headphones"),
        ("elektronics", "electronics"),
        ("tae", "tea"),
        ("zebr", None),
        ("zebro", None),
        ("hedphones unicorn", None),
        ("headphones tea", None),
        ("xy", None),
    ):
        found = search_products(session, SearchAsk(typed))
        assert (typed, found.corrected) == (typed, corrected)
        assert bool(found.rows) is (corrected is not None)
    make("Hedphones, misspelt")
    assert names(session, "hedphones") == ["Hedphones, misspelt"]
    assert search_products(session, SearchAsk("wireless", max_price_cents=1)).corrected is None


def test_of_two_words_that_are_as_near_the_commoner_is_meant(session, make):
    make("Boat")
    for _ in range(2):
        make("Boot")
    make("Bolt")
    assert search_products(session, SearchAsk("boxt")).corrected == "boot"


def test_the_filters_of_the_catalogue_hold_together(session, make):
    clothes = make_category(session, "Clothes")
    shoes = make_category(session, "Shoes", clothes)
    other = make_user(session, Role.SELLER)
    make("Boot one", price_cents=100, category_id=shoes.id)
    make("Boot two", price_cents=200, category_id=clothes.id, stock=0)
    make("Boot three", price_cents=300, seller=other, stock=1, reserved=1)

    assert names(session, "boot") == ["Boot three", "Boot two", "Boot one"]
    assert names(session, "boot", category=clothes.slug) == ["Boot two", "Boot one"]
    assert names(session, "boot", category="Shoes") == ["Boot one"]
    assert names(session, "boot", category="none such") == []
    assert names(session, "boot", min_price_cents=200) == ["Boot three", "Boot two"]
    assert names(session, "boot", max_price_cents=200, in_stock=True) == ["Boot one"]
    assert names(session, "boot", in_stock=False) == ["Boot three", "Boot two"]
    assert names(session, "boot", seller_id=other.id) == ["Boot three"]
    assert names(session, str(other.id)) == []
    facets = search_products(session, SearchAsk("boot")).facets
    assert [(one.name, one.count) for one in facets.categories] == [("Clothes", 1), ("Shoes", 1)]
    assert (facets.stock, facets.prices) == (StockCount(1, 2), [PriceCount(0, 50_000, 3)])


def test_pages_follow_one_another_while_the_catalogue_changes(session, seller, make):
    made = [make("Boot") for _ in range(7)]
    ask = SearchAsk("boot", limit=2)
    seen, cursor = [], None
    while cursor is not None or not seen:
        found = search_products(session, SearchAsk("boot", limit=2, cursor=cursor))
        seen += [product.id for product, _ in found.rows]
        cursor = found.next_cursor
        if len(seen) == 4:
            make("Boot")
            make("A boot of another kind")
            delete_product(session, actor_of(seller), made[1].id, NOW)
    ids = [product.id for product in made]
    assert seen[:6] == [ids[6], ids[5], ids[4], ids[3], ids[2], ids[0]]
    assert [session.get(Product, one).name for one in seen[6:]] == ["A boot of another kind"]

    good = search_products(session, ask).next_cursor
    for wrong in (good[:-2], good + "A", "junk", "é", "", "W10", "bnVsbA", "A" * 5000):
        with refused(session, InvalidInput, "invalid_input"):
            search_products(session, SearchAsk("boot", cursor=wrong))
    with refused(session, InvalidInput, "invalid_input"):
        search_products(session, SearchAsk("boots", cursor=good))


def test_every_batch_of_hits_is_newest_first_and_none_is_left_out(session, make, monkeypatch):
    """With windows so small that few products fill several."""
    for name, value in (("_SAMPLE", 4), ("_WINDOW", 5), ("_MOST_WINDOWS", 2), ("_FREQUENT", 2)):
        monkeypatch.setattr(postgresql_index, name, value)
    ids = [make("Boot" if number % 2 else "Hat", stock=0).id for number in range(24)]
    rare = make("Cap boot", stock=0).id
    boots = [*ids[1::2], rare][::-1]
    index = index_of(session)

    def hits(word: str, most: int = 100, **fields) -> list[int]:
        term = Term(word, (word,))
        batches = [*index.hits(Expression((term,), **fields), 3, most)]
        assert all(batches)
        return [one for batch in batches for one in batch]

    for in_name in (True, False):
        assert hits("boot", in_name=in_name) == boots
        assert hits("boot", most=5, in_name=in_name) == boots[:5]
        assert hits("cap", in_name=in_name) == [rare]
        assert hits("nothing", in_name=in_name) == []
    assert hits("boot", category_ids=tuple(range(700))) == boots  # 0 stands for no category
    assert hits("boot", seller_id=999_999) == []


def test_suggestions_are_names_that_go_on_so_each_once(session, make):
    make("Kettle", description="steel")
    newest = make("Kettle")
    whistling = make("Whistling kettle", sku="WK-1")
    make("Pot", description="Not a kettle")

    assert suggest(session, "ket") == [
        Suggestion(newest.id, "Kettle"),
        Suggestion(whistling.id, "Whistling kettle"),
    ]
    assert suggest(session, "ket", 1) == [Suggestion(newest.id, "Kettle")]
    assert suggest(session, "wk-") == [Suggestion(whistling.id, "Whistling kettle")]
    assert suggest(session, "") == suggest(session, "%") == suggest(session, "zzz") == []


# Tasks


def test_only_ones_own_tasks_are_found_beside_the_products(session, make):
    amina, brian = make_user(session), make_user(session)
    make("Boot polish")
    mine = make_task(session, amina, "Polish the boots")
    given = make_task(session, brian, "Call about", description="Boots", assignee_id=amina.id)
    make_task(session, brian, "Boots of Brian")
    make_task(session, None, "Boots of nobody")

    def found(user, **wanted):
        rows = search(session, user and actor_of(user), SearchAsk("boot", **wanted)).rows
        return [(type(row).__name__, getattr(row, "title", None)) for row, _ in rows]

    assert found(amina) == [("ProductRow", None), ("Task", mine.title), ("Task", given.title)]
    assert found(amina, kind=SearchKind.TASKS) == found(amina)[1:]
    assert found(amina, kind=SearchKind.ITEMS) == found(None) == [("ProductRow", None)]
    assert found(make_user(session)) == [("ProductRow", None)]
    with refused(session, Unauthenticated, "unauthenticated"):
        found(None, kind=SearchKind.TASKS)


def test_pages_hold_products_and_tasks_in_one_order(session, make):
    amina = make_user(session)
    make("Boot")
    make_task(session, amina, "Boot")
    make("Big boot")
    make_task(session, amina, "Big boot")
    seen, cursor = [], None
    for _ in range(4):
        found = search(session, actor_of(amina), SearchAsk("boot", limit=1, cursor=cursor))
        ((row, score),) = found.rows
        seen.append((type(row).__name__, score))
        cursor = found.next_cursor
    assert cursor is None
    assert seen == [("ProductRow", 1.0), ("Task", 1.0), ("ProductRow", 0.85), ("Task", 0.85)]
