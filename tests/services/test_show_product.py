"""What stands around a product on its page, and what is offered to who is still typing."""

import pytest

from app.errors import NotFound
from app.policies import Role
from app.services.comments import NewComment, add_comment
from app.services.pages import PageRequest
from app.services.show_product import show_product
from app.services.suggest_products import suggest_products
from tests.factories import NOW, actor_of, ids, make_category, make_product, make_user


def test_a_product_is_shown_with_its_seller_its_shelf_and_what_is_said_of_it(session):
    seller = make_user(session, Role.SELLER, username="njeri")
    clothing = make_category(session, "Clothing")
    shoes = make_category(session, "Shoes", clothing)
    boots, *others = [make_product(session, seller, category_id=shoes.id) for _ in range(6)]
    loose = make_product(session, seller)
    said = add_comment(session, actor_of(make_user(session)), NewComment(boots.id, "Good"), NOW)
    view = show_product(session, boots.id, PageRequest())
    assert (view.product.id, view.seller_name) == (boots.id, "njeri")
    assert [node.name for node in view.path] == ["Clothing", "Shoes"]
    assert ids(view.neighbours) == ids(others)[:0:-1]
    assert [one.comment.id for one in view.comments.rows] == [said.comment.id]
    alone = show_product(session, loose.id, PageRequest())
    assert (alone.path, alone.neighbours, alone.comments.rows) == ([], [], [])
    loose.deleted_at = NOW
    with pytest.raises(NotFound):
        show_product(session, loose.id, PageRequest())


def test_suggestions_are_products_for_sale_the_best_first(session):
    seller = make_user(session, Role.SELLER)
    made = [make_product(session, seller, name=f"Kikoi {word}") for word in ("blue", "red", "sea")]
    session.flush()
    found = suggest_products(session, "kik", 2)
    assert set(ids(found)) < set(ids(made))
    assert len(found) == 2
    assert ids(suggest_products(session, "kikoi re", 6)) == [made[1].id]
    assert suggest_products(session, "", 6) == []
    made[1].deleted_at = NOW
    session.flush()
    assert suggest_products(session, "kikoi re", 6) == []
