"""Comments: whose rating counts, who bought, who is told, who may take one away."""

from datetime import timedelta
from random import Random

import pytest
from sqlalchemy import func, select

from app.errors import Forbidden, NotFound
from app.models import Comment, Notification, OrderStatus, Product, User
from app.policies import Role
from app.services.comments import (
    CommentView,
    NewComment,
    add_comment,
    delete_comment,
    list_comments,
)
from app.services.delete_product import delete_product
from app.services.end_order import cancel_order
from app.services.move_order import fulfil_order, move_order
from app.services.pages import PageRequest
from tests.core import ask_to_pay, buy, make_buyer, pay, refused, thrown_away
from tests.factories import NOW, actor_of, make_product, make_user

FIRST_PAGE = PageRequest()


@pytest.fixture
def seller(session):
    return make_user(session, Role.SELLER)


@pytest.fixture
def boots(session, seller):
    return make_product(session, seller, name="Boots")


def say(session, author, product, rating=None, body="Warm") -> CommentView:
    return add_comment(session, actor_of(author), NewComment(product.id, body, rating), NOW)


def rating(session, product) -> tuple:
    """(average, count, version) as the database has them."""
    session.refresh(product)
    return product.rating_average, product.rating_count, product.version


def told(session) -> list[tuple]:
    columns = (Notification.user_id, Notification.kind, Notification.product_id, Notification.body)
    rows = session.execute(select(*columns).order_by(Notification.id))
    return [tuple(row) for row in rows]


def bought(session, product) -> list[bool]:
    """Of each comment, newest first, whether its author bought."""
    page = list_comments(session, product.id, FIRST_PAGE)
    return [view.verified_purchase for view in page.rows]


def test_the_latest_rating_of_each_user_counts_once(session, boots):
    amina, baraka = make_buyer(session), make_buyer(session)
    assert rating(session, boots) == (None, 0, 1)

    say(session, amina, boots, 1)
    assert rating(session, boots) == (1.0, 1, 2)
    say(session, baraka, boots, 5)
    assert rating(session, boots) == (3.0, 2, 3)
    say(session, amina, boots, 4)
    assert rating(session, boots) == (4.5, 2, 4)
    say(session, amina, boots)
    assert rating(session, boots) == (4.5, 2, 4), "words alone change no rating"
    say(session, amina, boots, 4)
    assert rating(session, boots) == (4.5, 2, 4), "the same rating again is no news to a reader"

    page = list_comments(session, boots.id, FIRST_PAGE)
    assert [view.comment.rating for view in page.rows] == [4, None, 4, 5, 1]


def test_a_rating_taken_away_lets_the_one_before_count_again(session, boots):
    amina = make_buyer(session)
    first = say(session, amina, boots, 2).comment.id
    second = say(session, amina, boots, 5).comment.id
    delete_comment(session, actor_of(amina), second)
    assert rating(session, boots) == (2.0, 1, 4)
    delete_comment(session, actor_of(amina), first)
    assert rating(session, boots) == (None, 0, 5)
    assert session.scalar(select(func.count()).select_from(Comment)) == 0


def test_the_sums_are_those_of_the_latest_ratings_whatever_came_and_went(session, seller, boots):
    dice = Random(7)
    users = [make_buyer(session), make_buyer(session), make_buyer(session), seller]
    there: list[tuple[int, User, int | None]] = []
    for _ in range(60):
        if there and dice.random() < 0.45:
            number, author, _ = there.pop(dice.randrange(len(there)))
            delete_comment(session, actor_of(author), number)
        else:
            author, stars = dice.choice(users), dice.choice([None, 1, 2, 3, 4, 5])
            there.append((say(session, author, boots, stars).comment.id, author, stars))
        latest = {author.id: stars for _, author, stars in there if stars and author is not seller}
        session.refresh(boots)
        assert (boots.rating_sum, boots.rating_count) == (sum(latest.values()), len(latest))


def test_a_sellers_own_rating_of_their_product_is_shown_and_does_not_count(session, seller, boots):
    view = say(session, seller, boots, 5)

    assert view.comment.rating == 5
    assert rating(session, boots) == (None, 0, 1)


def test_an_average_has_one_decimal_and_rounds_halves_up():
    for total, count, average in (
        (17, 4, 4.3),
        (13, 3, 4.3),
        (14, 3, 4.7),
        (5, 1, 5.0),
        (0, 0, None),
    ):
        assert Product(rating_sum=total, rating_count=count).rating_average == average


def test_a_rating_of_one_product_leaves_the_others_alone(session, seller, boots):
    hat = make_product(session, seller)
    say(session, make_buyer(session), boots, 5)

    assert rating(session, hat) == (None, 0, 1)
    assert bought(session, hat) == []


def test_a_purchase_is_verified_while_an_order_with_the_product_is_paid(session, seller, boots):
    buyer, other = make_buyer(session), make_buyer(session)
    say(session, buyer, boots)
    unpaid = buy(session, buyer, (boots, 1))
    buy(session, other, (boots, 1))
    assert bought(session, boots) == [False]
    cancel_order(session, actor_of(buyer), unpaid.id, NOW)
    assert bought(session, boots) == [False]

    order = buy(session, buyer, (boots, 1))
    pay(session, ask_to_pay(session, order))
    assert bought(session, boots) == [True]
    hat = make_product(session, seller)
    say(session, buyer, hat)
    assert bought(session, hat) == [False], "another product of the same seller was not bought"
    with thrown_away(session):
        move_order(session, order, OrderStatus.REFUNDED, NOW)
        assert bought(session, boots) == [False]
    for step in (OrderStatus.SHIPPED, OrderStatus.DELIVERED):
        fulfil_order(session, actor_of(seller), order.id, step, NOW)
        assert bought(session, boots) == [True]
    assert say(session, buyer, boots).verified_purchase is True
    assert say(session, other, boots).verified_purchase is False


def test_the_seller_is_told_of_what_others_say(session, seller, boots):
    amina = make_buyer(session, username="amina")
    say(session, amina, boots, 4, "Warm")
    say(session, seller, boots, None, "Thank you")
    say(session, amina, boots, None, "x" * 2000)

    assert told(session) == [
        (seller.id, "comment", boots.id, "amina on Boots (4 of 5): Warm"),
        (seller.id, "comment", boots.id, "amina on Boots: " + "x" * 199 + "…"),
    ]


def test_what_is_not_in_the_shop_has_no_comments(session, seller, boots):
    amina = make_buyer(session)
    say(session, amina, boots, 3)
    delete_product(session, actor_of(seller), boots.id, NOW)
    for product_id in (boots.id, 999_999):
        with refused(session, NotFound, "product_not_found"):
            list_comments(session, product_id, FIRST_PAGE)
        with refused(session, NotFound, "product_not_found"):
            add_comment(session, actor_of(amina), NewComment(product_id, "Late"), NOW)


def test_an_author_takes_back_what_they_said_of_a_product_that_is_gone(session, seller, boots):
    amina = make_buyer(session)
    said = say(session, amina, boots, 3).comment.id
    delete_product(session, actor_of(seller), boots.id, NOW)
    delete_comment(session, actor_of(amina), said)

    assert rating(session, boots)[:2] == (None, 0)


def test_a_comment_is_taken_away_by_its_author_the_seller_and_admins_alone(session, seller, boots):
    amina = make_buyer(session)
    said = say(session, amina, boots, 3).comment.id
    strangers = (make_buyer(session), make_user(session, Role.SELLER))
    for stranger in strangers:
        with refused(session, Forbidden, "not_your_comment"):
            delete_comment(session, actor_of(stranger), said)
    seller.role = Role.CUSTOMER.value
    with refused(session, Forbidden, "not_your_comment"):
        delete_comment(session, actor_of(seller), said)
    seller.role = Role.SELLER.value
    for actor in (amina, seller, make_user(session, Role.ADMIN)):
        with thrown_away(session):
            delete_comment(session, actor_of(actor), said)
            with refused(session, NotFound, "comment_not_found"):
                delete_comment(session, actor_of(actor), said)


def test_comments_come_newest_first_a_page_at_a_time_with_their_authors(session, boots):
    authors = [make_buyer(session, username=f"reader{at}") for at in range(3)]
    for at, author in enumerate(authors):
        say(session, author, boots, body=str(at))
    session.expunge_all()  # as in a request of its own

    first = list_comments(session, boots.id, PageRequest(limit=2, include_total=True))
    assert [(view.comment.body, view.comment.user.username) for view in first.rows] == [
        ("2", "reader2"),
        ("1", "reader1"),
    ]
    assert first.total == 3
    last = list_comments(session, boots.id, PageRequest(limit=2, cursor=first.next_cursor))
    assert ([view.comment.body for view in last.rows], last.next_cursor) == (["0"], None)
    assert last.rows[0].comment.created_at - NOW == timedelta(0)
