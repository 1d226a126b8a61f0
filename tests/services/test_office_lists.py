"""What the office reads and writes of products, stock, tasks and accounts, on both databases."""

import pytest

from app.errors import Conflict, Forbidden, NotFound, PreconditionFailed
from app.models import MovementKind, Notification
from app.models.item import MAX_STOCK
from app.policies import Role
from app.services.adjust_stock import (
    StockChange,
    StockReason,
    adjust_stock,
    last_change_by_hand,
)
from app.services.delete_product import delete_product
from app.services.pages import PageRequest
from app.services.shop_products import (
    ProductText,
    ShopProductFilter,
    StockFilter,
    change_text,
    list_shop_products,
    text_mark,
)
from app.services.shop_tasks import find_shop_task, list_shop_tasks, list_staff
from app.services.stock_history import read_stock
from app.services.tasks import TaskFilter
from app.services.users.overview import find_user_file
from tests.core import buy, is_clean, make_buyer, refused
from tests.factories import NOW, actor_of, make_category, make_product, make_task, make_user

EVERYTHING = PageRequest(100)


@pytest.fixture
def seller(session):
    return make_user(session, Role.SELLER)


@pytest.fixture
def admin(session):
    return make_user(session, Role.ADMIN)


@pytest.fixture
def boots(session, seller):
    """Ten pairs, of which an order holds three."""
    boots = make_product(session, seller, name="Boots", sku="B-1", low_stock_threshold=5)
    buy(session, make_buyer(session), (boots, 3))
    session.refresh(boots)
    return boots


def changed(session, product, reason, quantity):
    return StockChange(reason, quantity, last_change_by_hand(session, product.id))


def test_stock_is_changed_by_a_conditional_statement_and_its_reason_kept(session, seller, boots):
    for reason, quantity, kind, expected in (
        (StockReason.RECEIVED, 5, MovementKind.RECEIPT, (15, 3)),
        (StockReason.RETURNED, 1, MovementKind.ADJUSTMENT, (16, 3)),
        (StockReason.FOUND, 1, MovementKind.ADJUSTMENT, (17, 3)),
        (StockReason.DAMAGED, 4, MovementKind.ADJUSTMENT, (13, 3)),
        (StockReason.LOST, 4, MovementKind.ADJUSTMENT, (9, 3)),
        (StockReason.SOLD_ELSEWHERE, 1, MovementKind.ADJUSTMENT, (8, 3)),
        (StockReason.MISSING, 5, MovementKind.ADJUSTMENT, (3, 3)),
    ):
        change = changed(session, boots, reason, quantity)
        version = boots.version
        product = adjust_stock(session, actor_of(seller), boots.id, change, NOW)
        assert (product.on_hand, product.reserved) == expected, reason
        assert product.version == version + 1
        newest = read_stock(session, actor_of(seller), boots.id, EVERYTHING).movements.rows[0]
        moved = newest.movement
        assert (moved.kind, moved.note, moved.on_hand_delta) == (kind, reason, change.delta)
    told = session.query(Notification).filter_by(user_id=seller.id, kind="low_stock").all()
    assert [one.body for one in told] == ["Boots: 5 can still be bought."]
    assert is_clean(session)


def test_a_refused_change_of_stock_changes_nothing(session, seller, admin, boots):
    stranger = actor_of(make_user(session, Role.SELLER))
    own = actor_of(seller)
    gone = make_product(session, seller)
    delete_product(session, own, gone.id, NOW)
    lost = changed(session, boots, StockReason.LOST, 8)
    for actor, product, change, kind, code in (
        (own, boots, lost, Conflict, "stock_held"),
        (
            own,
            boots,
            changed(session, boots, StockReason.FOUND, MAX_STOCK),
            Conflict,
            "stock_too_high",
        ),
        (own, boots, StockChange(StockReason.LOST, 1, 0), Conflict, "stock_changed"),
        (stranger, boots, lost, Forbidden, "not_your_product"),
        (own, gone, lost, NotFound, "product_not_found"),
    ):
        with refused(session, kind, code):
            adjust_stock(session, actor, product.id, change, NOW)


def test_movements_go_on_from_page_to_page_and_name_only_whom_the_reader_may_know(
    session, seller, admin, boots
):
    adjust_stock(
        session, actor_of(admin), boots.id, changed(session, boots, StockReason.FOUND, 1), NOW
    )
    first = read_stock(session, actor_of(seller), boots.id, PageRequest(2)).movements
    rest = read_stock(
        session, actor_of(seller), boots.id, PageRequest(2, first.next_cursor)
    ).movements
    rows = [*first.rows, *rest.rows]
    assert [row.movement.kind for row in rows] == ["adjustment", "hold", "receipt"]
    assert [bool(row.order_number) for row in rows] == [False, True, False]
    assert rows[0].actor_name == ""
    shown = read_stock(session, actor_of(admin), boots.id, EVERYTHING).movements.rows
    assert shown[0].actor_name == admin.username
    assert rest.next_cursor is None


def test_products_are_listed_by_what_a_seller_asks_for(session, seller, admin, boots):
    top = make_category(session, "Shoes")
    hat = make_product(session, seller, name="100% wool hat", stock=0)
    shoe = make_product(session, name="Shoe", category=make_category(session, "Boots", top))

    def found(actor, **wanted):
        page = list_shop_products(session, actor_of(actor), ShopProductFilter(**wanted), EVERYTHING)
        return [row.product.id for row in page.rows]

    assert found(seller) == found(seller, seller_id=admin.id) == [hat.id, boots.id]
    assert found(admin) == [shoe.id, hat.id, boots.id]
    assert found(admin, seller_id=shoe.seller_id) == found(admin, category=top.slug) == [shoe.id]
    assert found(admin, words=("%",)) == found(seller, words=("WOOL", "100")) == [hat.id]
    assert found(seller, words=("b-1", "boots")) == [boots.id]
    assert found(admin, stock=StockFilter.SOLD_OUT) == [hat.id]
    boots.low_stock_threshold = 7
    assert found(admin, stock=StockFilter.LOW) == [hat.id, boots.id]


def test_words_are_saved_unless_other_words_were_meanwhile(session, seller, boots):
    text = ProductText("Gumboots", 160_000, "Green", None, None, None)
    seen = text_mark(boots)
    buy(session, make_buyer(session), (boots, 1))
    change_text(session, actor_of(seller), boots.id, text, seen, NOW)
    assert (boots.name, boots.sku, boots.reserved) == ("Gumboots", None, 4)
    with refused(session, PreconditionFailed, "precondition_failed"):
        change_text(session, actor_of(seller), boots.id, text, seen, NOW)


def test_open_tasks_stand_first_and_name_no_order_that_is_not_the_readers(
    session, seller, admin, boots
):
    order = buy(session, make_buyer(session), (make_product(session), 1))
    done = make_task(session, seller, status="done")
    old = make_task(session, seller, order_id=order.id)
    new = make_task(session, None, kind="late_money", assignee_id=seller.id, order_id=order.id)

    def pages(actor, cursor=None):
        page = list_shop_tasks(session, actor_of(actor), TaskFilter(), PageRequest(2, cursor))
        rest = pages(actor, page.next_cursor) if page.next_cursor else []
        return [*page.rows, *rest]

    rows = pages(seller)
    assert [row.task.id for row in rows] == [new.id, old.id, done.id]
    assert [row.order_number for row in rows] == ["", "", ""]
    assert (rows[0].owner_name, rows[0].assignee_name) == ("", seller.username)
    assert pages(admin)[0].order_number == order.number
    assert find_shop_task(session, actor_of(admin), old.id).owner_name == seller.username
    with refused(session, NotFound, "task_not_found"):
        find_shop_task(session, actor_of(make_user(session, Role.SELLER)), old.id)


def test_staff_is_who_sells_or_manages_and_may_sign_in(session, seller, admin):
    make_user(session, Role.SELLER, suspended_at=NOW)
    make_buyer(session)
    assert [user.id for user in list_staff(session)] == [admin.id, seller.id]


def test_an_account_is_summed_up(session, seller, boots):
    order = buy(session, seller, (make_product(session), 1))
    file = find_user_file(session, order.user_id)
    assert (file.user.id, file.order_count, file.product_count, file.last_sign_in) == (
        seller.id,
        1,
        1,
        None,
    )
