"""A seller's counts against what orders hold: on_hand ≥ reserved ≥ 0, movements add up."""

from datetime import timedelta
from threading import Barrier, Thread

import pytest
from sqlalchemy import func, select, update

from app.errors import InvalidInput
from app.models import MovementKind, Product, StockMovement
from app.models.item import MAX_STOCK
from app.policies import Role
from app.services.change_product import ProductChange, change_product
from app.services.create_product import NewProduct, create_product
from app.services.place_order import OrderRequest, OrderRules, WantedLine, place_order
from tests.factories import NOW, actor_of, make_product, make_user

LATER = NOW + timedelta(minutes=5)


@pytest.fixture
def seller(session):
    return make_user(session, Role.SELLER)


def movements(session, product_id: int) -> list[tuple]:
    return [
        (row.kind, row.on_hand_delta, row.reserved_delta, row.actor_id)
        for row in session.scalars(
            select(StockMovement)
            .where(StockMovement.product_id == product_id)
            .order_by(StockMovement.id)
        )
    ]


def hold(session, product: Product, quantity: int) -> None:
    """What an order does to the counts, without the order."""
    session.execute(
        update(Product)
        .where(Product.id == product.id)
        .values(reserved=Product.reserved + quantity, version=Product.version + 1)
        .execution_options(synchronize_session=False)  # as if elsewhere: what is loaded is stale
    )
    session.add(
        StockMovement(
            product_id=product.id,
            kind=MovementKind.HOLD,
            on_hand_delta=0,
            reserved_delta=quantity,
            created_at=NOW,
        )
    )
    session.flush()


def test_the_first_stock_arrives_as_a_receipt(session, seller):
    product = create_product(session, actor_of(seller), NewProduct("Boot", 100, stock=7), NOW)

    assert (product.on_hand, product.reserved, product.available) == (7, 0, 7)
    assert movements(session, product.id) == [(MovementKind.RECEIPT, 7, 0, seller.id)]


def test_a_product_without_stock_has_no_movement(session, seller):
    product = create_product(session, actor_of(seller), NewProduct("Boot", 100), NOW)

    assert product.available == 0
    assert movements(session, product.id) == []


@pytest.mark.parametrize(("stock", "delta"), [(25, 15), (4, -6), (0, -10)])
def test_stock_is_set_by_an_adjustment(session, seller, stock, delta):
    product = make_product(session, seller, stock=10)

    change_product(session, actor_of(seller), product.id, ProductChange(stock=stock), LATER)

    assert (product.on_hand, product.reserved, product.version) == (stock, 0, 2)
    assert product.updated_at == LATER
    assert movements(session, product.id)[1:] == [(MovementKind.ADJUSTMENT, delta, 0, seller.id)]


def test_units_that_orders_hold_lie_on_top_of_what_can_be_bought(session, seller):
    product = make_product(session, seller, stock=10)
    hold(session, product, 4)

    changed = change_product(session, actor_of(seller), product.id, ProductChange(stock=0), LATER)

    assert (changed.on_hand, changed.reserved, changed.available) == (4, 4, 0)
    assert movements(session, product.id)[-1] == (MovementKind.ADJUSTMENT, -6, 0, seller.id)


def test_stock_set_to_what_it_is_moves_nothing(session, seller):
    product = make_product(session, seller, stock=10)
    hold(session, product, 4)
    before = movements(session, product.id)

    same = change_product(session, actor_of(seller), product.id, ProductChange(stock=6), LATER)

    assert (same.on_hand, same.reserved, same.version, same.updated_at) == (10, 4, 2, NOW)
    assert movements(session, product.id) == before


def test_more_than_the_shelf_can_hold_is_refused(session, seller):
    product = make_product(session, seller, stock=10)
    hold(session, product, 4)
    before = movements(session, product.id)

    with pytest.raises(InvalidInput) as refusal:
        change_product(
            session, actor_of(seller), product.id, ProductChange(stock=MAX_STOCK - 3), LATER
        )

    assert refusal.value.errors == [
        {"field": "stock", "message": "Stock is 0 to 999999996 for this product."}
    ]
    session.refresh(product)
    assert (product.on_hand, product.reserved, product.version) == (10, 4, 2)
    assert movements(session, product.id) == before


def test_a_seller_who_buys_their_own_goods_and_counts_them_is_not_deadlocked(database):
    """An order locks its buyer, then the product; a count locks the product, then names its
    seller. Where both are one person, neither may wait for the other.
    """
    with database.transaction() as session:
        seller = make_user(session, Role.SELLER)
        product_id = make_product(session, seller, stock=1000).id
    rules = OrderRules(expiry_seconds=900, max_open_orders=1000, max_amount_shillings=250_000)
    order = OrderRequest((WantedLine(product_id, 1),))
    barrier = Barrier(6)
    errors: list[Exception] = []

    def buy(number):
        with database.transaction() as session:
            place_order(session, actor_of(seller), order, rules, NOW)

    def count(number):
        with database.transaction() as session:
            change = ProductChange(stock=500 + number)
            change_product(session, actor_of(seller), product_id, change, LATER)

    def run(work):
        barrier.wait()
        try:
            for number in range(8):
                work(number)
        except Exception as error:  # noqa: BLE001 - collected and asserted below
            errors.append(error)

    threads = [Thread(target=run, args=(work,)) for work in [buy, count] * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert errors == []
    with database.reading() as session:
        product = session.get_one(Product, product_id)
        moved = session.execute(
            select(
                func.sum(StockMovement.on_hand_delta), func.sum(StockMovement.reserved_delta)
            ).where(StockMovement.product_id == product_id)
        ).one()
        assert product.reserved == 24
        assert (product.on_hand, product.reserved) == tuple(moved)


def test_counts_hold_while_sellers_set_stock_and_buyers_take_it(database):
    """16 threads: half set the stock to 5, half take a unit and give it back."""
    with database.transaction() as session:
        seller = make_user(session, Role.SELLER)
        product_id = make_product(session, seller, stock=5).id
    barrier = Barrier(16)
    errors: list[Exception] = []

    def set_stock():
        with database.transaction() as session:
            change = ProductChange(stock=5)
            product = change_product(session, actor_of(seller), product_id, change, LATER)
            assert product.available == 5

    def take_and_give_back():
        for quantity in (1, -1):
            with database.transaction() as session:
                taken = session.execute(
                    update(Product)
                    .where(Product.id == product_id)
                    .where(Product.on_hand - Product.reserved >= quantity)
                    .values(reserved=Product.reserved + quantity, version=Product.version + 1)
                )
                if taken.rowcount == 0:  # sold out: nothing to give back
                    return

    def run(work):
        barrier.wait()
        try:
            for _ in range(6):
                work()
        except Exception as error:  # noqa: BLE001 - collected and asserted below
            errors.append(error)

    threads = [Thread(target=run, args=(work,)) for work in [set_stock, take_and_give_back] * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert errors == []
    with database.reading() as session:
        product = session.get_one(Product, product_id)
        moved = session.scalar(
            select(func.sum(StockMovement.on_hand_delta)).where(
                StockMovement.product_id == product_id
            )
        )
        assert product.reserved == 0
        assert product.on_hand == moved
        assert 5 <= product.on_hand <= 13  # what was held when the stock was last set
