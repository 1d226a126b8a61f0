"""People at a shelf, and buyers in front of it, in the same moment."""

from sqlalchemy import func, select

from app.models import Product, StockMovement
from app.policies import Role
from app.services.adjust_stock import StockChange, StockReason, adjust_stock, last_change_by_hand
from app.services.audit import audit
from app.services.place_order import place_order
from tests.core import ORDER_RULES, counts, make_buyer, wanted
from tests.factories import NOW, actor_of, make_product, make_user
from tests.races.starting_line import tally, together


def taking(database, seller, product, quantity, seen=None):
    def take() -> str:
        with database.transaction() as session:
            last = last_change_by_hand(session, product.id) if seen is None else seen
            change = StockChange(StockReason.DAMAGED, quantity, last)
            adjust_stock(session, actor_of(seller), product.id, change, NOW)
        return "taken"

    return take


def test_what_is_taken_away_never_reaches_into_what_orders_hold(database):
    with database.transaction() as session:
        seller = make_user(session, Role.SELLER)
        boots = make_product(session, seller, stock=12)
        seen = last_change_by_hand(session, boots.id)
        buyers = [make_buyer(session) for _ in range(16)]

    def buying(buyer):
        def buy() -> str:
            with database.transaction() as session:
                place_order(session, actor_of(buyer), wanted((boots.id, 1)), ORDER_RULES, NOW)
            return "bought"

        return buy

    answers = tally(together([*map(buying, buyers), taking(database, seller, boots, 8, seen)]))
    bought, took = answers["bought"], answers.get("taken", 0)
    assert set(answers) <= {"bought", "out_of_stock", "taken", "stock_held"}
    assert (bought, answers.get("stock_held", 0)) in ({(4, 0)} if took else {(12, 1)})
    with database.reading() as session:
        assert counts(session, boots) == (12 - 8 * took, bought)
        assert audit(session, NOW) == []


def test_a_delivery_that_is_written_down_by_many_hands_counts_once(database):
    with database.transaction() as session:
        seller = make_user(session, Role.SELLER)
        boots = make_product(session, seller, stock=100)
        seen = last_change_by_hand(session, boots.id)

    answers = tally(together([taking(database, seller, boots, 5, seen)] * 8))

    assert answers == {"taken": 1, "stock_changed": 7}
    with database.reading() as session:
        assert counts(session, boots) == (95, 0)
        made = select(func.count(StockMovement.id)).where(StockMovement.product_id == boots.id)
        assert session.scalar(made) == 2
        assert session.get_one(Product, boots.id).version == 2
