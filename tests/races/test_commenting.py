"""Many readers of one product at once: its rating is right, its seller is told once."""

from sqlalchemy import func, select

from app.models import Comment, Notification, Product
from app.services.comments import NewComment, add_comment, delete_comment
from tests.core import buy, counts, make_buyer
from tests.factories import NOW, actor_of, make_product
from tests.races.starting_line import tally, together


def rating(database, product) -> tuple[int, int, int]:
    with database.reading() as session:
        row = session.get_one(Product, product.id)
        return row.rating_sum, row.rating_count, row.version


def rate(database, user, product, stars: int):
    def run() -> str:
        with database.transaction() as session:
            add_comment(session, actor_of(user), NewComment(product.id, "Warm", stars), NOW)
        return "rated"

    return run


def test_ratings_given_at_the_same_moment_all_count(database):
    with database.transaction() as session:
        boots = make_product(session)
        readers = [make_buyer(session) for _ in range(8)]
    hands = [rate(database, reader, boots, 1 + at % 2 * 4) for at, reader in enumerate(readers)]

    assert tally(together(hands)) == {"rated": 8}
    assert rating(database, boots)[:2] == (24, 8)
    again = [rate(database, reader, boots, 5) for reader in readers]
    assert tally(together(again)) == {"rated": 8}
    assert rating(database, boots)[:2] == (40, 8)
    with database.reading() as session:
        told = select(func.count()).select_from(Notification)
        assert session.scalar(told.where(Notification.user_id == boots.seller_id)) == 16


def test_comments_orders_and_removals_of_one_product_never_deadlock(database):
    with database.transaction() as session:
        boots = make_product(session, stock=100, low_stock_threshold=95)
        readers = [make_buyer(session) for _ in range(8)]
        old = [
            add_comment(session, actor_of(reader), NewComment(boots.id, "Old", 1), NOW).comment.id
            for reader in readers
        ]

    def order(reader):
        def run() -> str:
            with database.transaction() as session:
                buy(session, reader, (boots, 1))
            return "ordered"

        return run

    def remove(reader, comment_id):
        def run() -> str:
            with database.transaction() as session:
                delete_comment(session, actor_of(reader), comment_id)
            return "removed"

        return run

    hands = [rate(database, reader, boots, 5) for reader in readers]
    hands += [order(reader) for reader in readers]
    hands += [remove(reader, number) for reader, number in zip(readers, old, strict=True)] * 2

    assert tally(together(hands)) == {
        "rated": 8,
        "ordered": 8,
        "removed": 8,
        "comment_not_found": 8,
    }
    assert rating(database, boots)[:2] == (40, 8)
    with database.reading() as session:
        assert counts(session, boots) == (100, 8)
        assert session.scalar(select(func.count()).select_from(Comment)) == 8
        told = select(Notification.body).where(Notification.kind == "low_stock")
        assert len(session.scalars(told).all()) == 1
