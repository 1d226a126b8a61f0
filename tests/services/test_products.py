from datetime import timedelta
from threading import Barrier, Thread

import pytest
from sqlalchemy import event, func, select

from app.errors import Conflict, Forbidden, InvalidInput, NotFound, PreconditionFailed
from app.models import MovementKind, Order, OrderLine, Product, Reservation, StockMovement
from app.policies import Role
from app.services.change_product import ProductChange, change_product
from app.services.create_product import NewProduct, create_product
from app.services.delete_product import delete_product
from app.services.find_product import find_product
from app.services.list_products import ProductFilter, ProductSort, list_products
from app.services.pages import PageRequest
from tests.core import refused
from tests.factories import NOW, actor_of, ids, make_category, make_product, make_user

LATER = NOW + timedelta(minutes=5)
EVERYTHING = PageRequest(limit=100)


@pytest.fixture
def seller(session):
    return make_user(session, Role.SELLER)


def row_of(session, product_id: int) -> dict:
    """Every column of a product as it is on record."""
    columns = Product.__table__.columns
    return dict(session.execute(select(*columns).where(Product.id == product_id)).mappings().one())


def found(session, **wanted) -> list[int]:
    """The ids that a filter finds, in ascending order."""
    return sorted(ids(list_products(session, ProductFilter(**wanted), EVERYTHING).rows))


def count(session, model) -> int:
    return session.scalar(select(func.count()).select_from(model))


# Offering


def test_a_seller_offers_a_product_under_their_own_name(session, seller):
    shoes = make_category(session, "Shoes")

    product = create_product(
        session,
        actor_of(seller),
        NewProduct(
            name="Boot",
            price_cents=149_950,
            description="Warm",
            stock=3,
            category=shoes.slug,
            image_url="https://shop.example/boot.webp",
            sku="B-1",
            low_stock_threshold=2,
        ),
        NOW,
    )

    assert row_of(session, product.id) == {
        "id": product.id,
        "seller_id": seller.id,
        "category_id": shoes.id,
        "name": "Boot",
        "description": "Warm",
        "price_cents": 149_950,
        "sku": "B-1",
        "image_url": "https://shop.example/boot.webp",
        "on_hand": 3,
        "reserved": 0,
        "low_stock_threshold": 2,
        "rating_count": 0,
        "rating_sum": 0,
        "version": 1,
        "created_at": NOW,
        "updated_at": NOW,
        "deleted_at": None,
    }
    assert product.category is shoes


def test_a_customer_offers_nothing(session):
    customer = make_user(session, Role.CUSTOMER)

    with pytest.raises(Forbidden):
        create_product(session, actor_of(customer), NewProduct("Boot", 100), NOW)

    assert count(session, Product) == 0


@pytest.mark.parametrize("spelling", ["slug", "name", "id", "other case"])
def test_a_category_is_named_by_its_slug_its_name_or_its_id(session, seller, spelling):
    category = make_category(session, "Running shoes")
    category.slug = "running-shoes"
    session.flush()
    said = {
        "slug": "running-shoes",
        "name": "Running shoes",
        "id": category.id,
        "other case": "RUNNING SHOES",
    }[spelling]

    product = create_product(session, actor_of(seller), NewProduct("Boot", 100, category=said), NOW)

    assert product.category_id == category.id


@pytest.mark.parametrize("category", ["nothing-like-it", 999, "'; DROP TABLE products; --"])
def test_an_unknown_category_is_a_fault_of_that_field(session, seller, category):
    with pytest.raises(InvalidInput) as refusal:
        create_product(session, actor_of(seller), NewProduct("Boot", 100, category=category), NOW)

    assert refusal.value.errors[0]["field"] == "category"
    assert count(session, Product) == 0


def test_a_name_that_several_categories_have_is_refused_with_their_slugs(session, seller):
    one = make_category(session, "Shoes")
    two = make_category(session, "Shoes", one)

    with pytest.raises(InvalidInput) as refusal:
        create_product(session, actor_of(seller), NewProduct("Boot", 100, category="Shoes"), NOW)

    assert one.slug in refusal.value.detail
    assert two.slug in refusal.value.detail
    assert count(session, Product) == 0


def test_a_slug_wins_over_the_same_word_as_a_name(session, seller):
    named = make_category(session, "boots")
    slugged = make_category(session, "Footwear")
    slugged.slug = "boots"
    session.flush()

    product = create_product(session, actor_of(seller), NewProduct("B", 100, category="boots"), NOW)

    assert product.category_id == slugged.id != named.id
    assert found(session, category="boots") == [product.id]


def test_a_sku_is_taken_once_in_a_shop_and_free_in_another(database):
    with database.transaction() as session:
        seller = make_user(session, Role.SELLER)
        other = make_user(session, Role.SELLER)
        create_product(session, actor_of(seller), NewProduct("Boot", 100, sku="B-1"), NOW)
        create_product(session, actor_of(other), NewProduct("Boot", 100, sku="B-1"), NOW)

    with pytest.raises(Conflict) as refusal, database.transaction() as session:
        new = NewProduct("Hat", 100, stock=4, sku="B-1")
        create_product(session, actor_of(seller), new, NOW)

    assert refusal.value.code == "sku_taken"
    assert refusal.value.errors == [{"field": "sku", "message": "Another product has this SKU."}]
    with database.reading() as session:
        assert count(session, Product) == 2
        assert count(session, StockMovement) == 0


def test_of_many_who_take_one_sku_at_once_one_gets_it(database):
    with database.transaction() as session:
        seller = make_user(session, Role.SELLER)
    barrier = Barrier(8)
    outcomes: list[str] = []

    def offer():
        barrier.wait()
        try:
            with database.transaction() as session:
                create_product(session, actor_of(seller), NewProduct("Boot", 100, sku="B-1"), NOW)
            outcomes.append("made")
        except Conflict as error:
            outcomes.append(error.code)

    threads = [Thread(target=offer) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(outcomes) == ["made"] + ["sku_taken"] * 7


# Changing


def test_the_named_fields_change_and_no_others(session, seller):
    product = make_product(session, seller, name="Boot", sku="B-1", description="Warm")
    before = row_of(session, product.id)

    change_product(
        session, actor_of(seller), product.id, ProductChange(name="Hat", price_cents=5), LATER
    )

    assert row_of(session, product.id) == before | {
        "name": "Hat",
        "price_cents": 5,
        "version": 2,
        "updated_at": LATER,
    }


def test_none_empties_a_field_that_may_be_empty(session, seller):
    shoes = make_category(session, "Shoes")
    product = make_product(
        session, seller, category_id=shoes.id, sku="B-1", image_url="/b.webp", low_stock_threshold=2
    )

    changed = change_product(
        session,
        actor_of(seller),
        product.id,
        ProductChange(category=None, sku=None, image_url=None, low_stock_threshold=None),
        LATER,
    )

    row = row_of(session, product.id)
    assert (row["category_id"], row["sku"], row["image_url"]) == (None, None, None)
    assert (row["low_stock_threshold"], row["version"]) == (None, 2)
    assert changed.category is None


def test_a_product_moves_to_another_category(session, seller):
    hats = make_category(session, "Hats")
    product = make_product(session, seller, category_id=make_category(session, "Shoes").id)

    changed = change_product(
        session, actor_of(seller), product.id, ProductChange(category=hats.slug), LATER
    )

    assert changed.category is hats
    assert row_of(session, product.id)["category_id"] == hats.id


def test_a_change_to_what_is_there_changes_nothing(session, seller):
    shoes = make_category(session, "Shoes")
    product = make_product(session, seller, category_id=shoes.id, stock=4, name="Boot")
    before = row_of(session, product.id)

    change_product(
        session,
        actor_of(seller),
        product.id,
        ProductChange(
            name="Boot", price_cents=150_000, description="", stock=4, category=shoes.id, sku=None
        ),
        LATER,
    )

    assert row_of(session, product.id) == before
    assert count(session, StockMovement) == 1


@pytest.mark.parametrize("role", [Role.SELLER, Role.CUSTOMER])
def test_a_stranger_changes_and_deletes_nothing(session, seller, role):
    product = make_product(session, seller)
    stranger = actor_of(make_user(session, role))
    before = row_of(session, product.id)

    with pytest.raises(Forbidden) as refusal:
        change_product(session, stranger, product.id, ProductChange(stock=999), LATER)
    with pytest.raises(Forbidden):
        delete_product(session, stranger, product.id, LATER)

    assert refusal.value.code == "not_your_product"
    assert row_of(session, product.id) == before
    assert count(session, StockMovement) == 1


def test_a_seller_who_was_demoted_no_longer_changes_their_own_product(session):
    former = make_user(session, Role.CUSTOMER)
    product = make_product(session, former)
    before = row_of(session, product.id)

    with pytest.raises(Forbidden):
        change_product(session, actor_of(former), product.id, ProductChange(name="X"), LATER)

    assert row_of(session, product.id) == before


def test_an_administrator_changes_anybodys_product_and_it_stays_theirs(session, seller):
    product = make_product(session, seller)
    admin = make_user(session, Role.ADMIN)

    change_product(session, actor_of(admin), product.id, ProductChange(stock=3), LATER)

    row = row_of(session, product.id)
    assert (row["seller_id"], row["on_hand"]) == (seller.id, 3)
    last = session.scalars(select(StockMovement).order_by(StockMovement.id.desc())).first()
    assert (last.kind, last.actor_id) == (MovementKind.ADJUSTMENT, admin.id)


def test_a_change_made_for_an_older_version_is_refused(session, seller):
    product = make_product(session, seller)
    change_product(session, actor_of(seller), product.id, ProductChange(name="Hat"), LATER)
    before = row_of(session, product.id)

    with pytest.raises(PreconditionFailed):
        change_product(
            session,
            actor_of(seller),
            product.id,
            ProductChange(name="Cap"),
            LATER,
            expected_versions={1},
        )
    with pytest.raises(PreconditionFailed):
        delete_product(session, actor_of(seller), product.id, LATER, expected_versions=())

    assert row_of(session, product.id) == before

    change_product(
        session,
        actor_of(seller),
        product.id,
        ProductChange(name="Cap"),
        LATER,
        expected_versions={1, 2},
    )
    assert row_of(session, product.id)["name"] == "Cap"


def test_a_change_of_many_fields_with_one_fault_changes_none(database):
    with database.transaction() as session:
        seller = make_user(session, Role.SELLER)
        make_product(session, seller, sku="B-1")
        product_id = make_product(session, seller, sku="B-2").id
        before = row_of(session, product_id)

    for change in (
        ProductChange(name="Hat", stock=99, sku="B-1"),
        ProductChange(name="Hat", stock=99, category="nothing-like-it"),
    ):
        with pytest.raises((Conflict, InvalidInput)), database.transaction() as session:
            change_product(session, actor_of(seller), product_id, change, LATER)

    with database.reading() as session:
        assert row_of(session, product_id) == before
        assert count(session, StockMovement) == 2


def test_a_taken_sku_is_refused_whatever_else_changes(session, seller):
    make_product(session, seller, sku="T")
    product = make_product(
        session, seller, sku="M", stock=10, low_stock_threshold=5, image_url="/old.webp"
    )
    for more in ({"stock": 1}, {"image_url": "/new.webp"}):
        with refused(session, Conflict, "sku_taken"):
            change = ProductChange(sku="T", **more)
            change_product(session, actor_of(seller), product.id, change, LATER)


# Deleting


def test_a_deleted_product_is_nowhere(session, seller):
    product = make_product(session, seller)

    delete_product(session, actor_of(seller), product.id, LATER)

    assert found(session) == []
    with pytest.raises(NotFound):
        find_product(session, product.id)
    with pytest.raises(NotFound):
        change_product(session, actor_of(seller), product.id, ProductChange(name="X"), LATER)
    with pytest.raises(NotFound):
        delete_product(session, actor_of(seller), product.id, LATER)
    assert row_of(session, product.id)["deleted_at"] == LATER


def test_an_order_keeps_what_it_holds_of_a_deleted_product(session, seller):
    buyer = make_user(session)
    product = make_product(session, seller, stock=5, name="Boot", reserved=2)
    order = Order(
        number="AB12",
        user_id=buyer.id,
        total_cents=300_000,
        created_at=NOW,
        updated_at=NOW,
        expires_at=LATER,
    )
    session.add(order)
    session.flush()
    session.add(
        OrderLine(
            order_id=order.id,
            product_id=product.id,
            seller_id=seller.id,
            position=0,
            product_name="Boot",
            quantity=2,
            unit_price_cents=150_000,
        )
    )
    session.add(Reservation(order_id=order.id, product_id=product.id, quantity=2, created_at=NOW))
    session.flush()

    delete_product(session, actor_of(seller), product.id, LATER)

    row = row_of(session, product.id)
    assert (row["on_hand"], row["reserved"], row["name"]) == (5, 2, "Boot")
    line = session.scalars(select(OrderLine)).one()
    assert (line.product_id, line.product_name, line.quantity) == (product.id, "Boot", 2)
    assert session.scalars(select(Reservation)).one().state == "active"


def test_the_sku_of_a_deleted_product_is_free_again(session, seller):
    product = make_product(session, seller, sku="B-1")

    delete_product(session, actor_of(seller), product.id, LATER)
    new = create_product(session, actor_of(seller), NewProduct("Boot", 100, sku="B-1"), LATER)

    assert new.sku == "B-1"


@pytest.mark.parametrize("product_id", [0, 999, 2**63, 10**30])
def test_a_product_that_is_not_there_is_not_found(session, seller, product_id):
    with pytest.raises(NotFound):
        find_product(session, product_id)
    with pytest.raises(NotFound):
        change_product(session, actor_of(seller), product_id, ProductChange(name="X"), LATER)
    with pytest.raises(NotFound):
        delete_product(session, actor_of(seller), product_id, LATER)


# Listing


def test_a_category_includes_all_that_lies_below_it(session, seller):
    top = make_category(session, "Clothes")
    middle = make_category(session, "Shoes", top)
    lowest = make_category(session, "Boots", middle)
    other = make_category(session, "Tools")
    products = [
        make_product(session, seller, category_id=category.id)
        for category in (top, middle, lowest, other)
    ]
    make_product(session, seller)

    assert found(session, category=top.slug) == ids(products[:3])
    assert found(session, category="Shoes") == ids(products[1:3])
    assert found(session, category=lowest.slug) == [products[2].id]
    assert found(session, category="nothing-like-it") == []


def test_every_word_is_in_the_name_the_description_or_the_sku(session, seller):
    boot = make_product(session, seller, name="Red Boot", description="Warm\nlining", sku="RB-7")
    hat = make_product(session, seller, name="Red hat", description="")

    assert found(session, words=("red",)) == ids([boot, hat])
    assert found(session, words=("RED", "warm")) == [boot.id]
    assert found(session, words=("rb-7", "oo")) == [boot.id]
    assert found(session, words=("red", "blue")) == []


@pytest.mark.parametrize(
    "word", ["%", "_", "\\", "/", "100%", "a_b", "'", '"', "*", "';--", "[a]", "🎉", "É"]
)
def test_a_word_is_searched_as_it_is_written(session, seller, word):
    """Lines 58 and 59: no character of a search has a meaning of its own."""
    with_it = make_product(session, seller, name=f"x{word}y")
    make_product(session, seller, name="xaby 100z")

    assert found(session, words=(word,)) == [with_it.id]


def test_prices_are_bounded_on_both_sides_inclusively(session, seller):
    products = [make_product(session, seller, price_cents=cents) for cents in (99, 100, 200, 201)]

    assert found(session, min_price_cents=100, max_price_cents=200) == ids(products[1:3])
    assert found(session, min_price_cents=201) == [products[3].id]
    assert found(session, max_price_cents=99) == [products[0].id]


def test_what_orders_hold_is_not_in_stock(session, seller):
    there = make_product(session, seller, stock=2, reserved=1)
    held = make_product(session, seller, stock=2, reserved=2)
    none = make_product(session, seller, stock=0)

    assert found(session, in_stock=True) == [there.id]
    assert found(session, in_stock=False) == ids([held, none])
    assert found(session) == ids([there, held, none])


def test_a_list_of_one_seller(session, seller):
    mine = make_product(session, seller)
    make_product(session)

    assert found(session, seller_id=seller.id) == [mine.id]


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        (ProductSort.NAME, [1, 0, 2, 3]),
        (ProductSort.NAME_DESCENDING, [3, 2, 0, 1]),
        (ProductSort.PRICE, [2, 0, 1, 3]),
        (ProductSort.PRICE_DESCENDING, [3, 1, 0, 2]),
        (ProductSort.CREATED_AT, [3, 0, 1, 2]),
        (ProductSort.CREATED_AT_DESCENDING, [2, 1, 0, 3]),
    ],
)
def test_lists_are_sorted_with_ids_where_equal(session, seller, sort, order):
    products = [
        make_product(session, seller, name="banana", price_cents=200, created_at=NOW),
        make_product(session, seller, name="Apple", price_cents=200, created_at=NOW),
        make_product(session, seller, name="cherry", price_cents=100, created_at=NOW),
        make_product(
            session,
            seller,
            name="cherry",
            price_cents=300,
            created_at=NOW - timedelta(days=1),
        ),
    ]

    page = list_products(session, ProductFilter(sort=sort), EVERYTHING)

    assert [ids(products).index(row.id) for row in page.rows] == order


@pytest.mark.parametrize("sort", list(ProductSort))
def test_pages_hold_every_product_once(session, seller, sort):
    names = ["b", "A", "a", "É", "é", "B"]
    products = [
        make_product(session, seller, name=names[n % 6], price_cents=100 + n % 3) for n in range(11)
    ]
    seen: list[int] = []
    cursor = None

    while True:
        page = list_products(session, ProductFilter(sort=sort), PageRequest(3, cursor, True))
        assert page.total == 11
        seen += ids(page.rows)
        cursor = page.next_cursor
        if cursor is None:
            break

    whole = list_products(session, ProductFilter(sort=sort), EVERYTHING)
    assert seen == ids(whole.rows)
    assert sorted(seen) == ids(products)


def test_a_page_of_products_with_their_categories_is_one_statement(session, seller):
    for number in range(5):
        category = make_category(session, f"C{number}")
        make_product(session, seller, category_id=category.id)
    session.expunge_all()
    statements = []
    event.listen(
        session.connection(),
        "before_cursor_execute",
        lambda *args: statements.append(args[2]),
    )

    page = list_products(session, ProductFilter(), EVERYTHING)
    slugs = [row.category for row in page.rows]
    assert len(slugs) == 5
    assert len(statements) == 1

    find_product(session, page.rows[0].id)
    assert len(statements) == 2
