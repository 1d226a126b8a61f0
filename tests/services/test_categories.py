from datetime import timedelta
from threading import Barrier, Thread

import pytest
from sqlalchemy import func, select

from app.errors import Conflict, Forbidden, InvalidInput, NotFound
from app.models import Category, Product
from app.policies import Role
from app.services.categories import read_category, read_category_tree
from app.services.change_categories import (
    CategoryChange,
    NewCategory,
    change_category,
    create_category,
    delete_category,
)
from tests.factories import NOW, actor_of, make_category, make_product, make_user

LATER = NOW + timedelta(minutes=5)


@pytest.fixture
def admin(session):
    return actor_of(make_user(session, Role.ADMIN))


def rows(session) -> list[tuple]:
    """Everything that is on record of categories."""
    session.expire_all()
    return [
        (row.id, row.name, row.slug, row.parent_id, row.updated_at)
        for row in session.scalars(select(Category).order_by(Category.id))
    ]


def chain(session, length: int) -> list[Category]:
    """Categories each below the one before."""
    made: list[Category] = []
    for number in range(length):
        parent = made[-1] if made else None
        made.append(make_category(session, f"Level {number + 1}", parent))
    return made


def test_a_slug_is_made_from_the_name(session, admin):
    category = create_category(session, admin, NewCategory("Café & Tea"), NOW)

    assert rows(session) == [(category.id, "Café & Tea", "cafe-tea", None, NOW)]
    assert (category.name, category.slug, category.parent_id) == ("Café & Tea", "cafe-tea", None)
    assert category.children == []


def test_a_chosen_slug_is_kept(session, admin):
    category = create_category(session, admin, NewCategory("Café", slug="coffee"), NOW)

    assert category.slug == "coffee"


def test_a_name_without_letters_for_a_slug_asks_for_one(session, admin):
    with pytest.raises(InvalidInput) as refusal:
        create_category(session, admin, NewCategory("衣服"), NOW)

    assert refusal.value.errors[0]["field"] == "slug"
    assert rows(session) == []


def test_a_taken_slug_is_a_conflict(database):
    with database.transaction() as session:
        admin = actor_of(make_user(session, Role.ADMIN))
        create_category(session, admin, NewCategory("Shoes"), NOW)
        before = rows(session)

    with pytest.raises(Conflict) as refusal, database.transaction() as session:
        create_category(session, admin, NewCategory("SHOES"), LATER)

    assert refusal.value.code == "slug_taken"
    assert refusal.value.errors == [{"field": "slug", "message": "Another category has this slug."}]
    with database.reading() as session:
        assert rows(session) == before


def test_a_change_to_a_taken_slug_is_a_conflict(database):
    with database.transaction() as session:
        admin = actor_of(make_user(session, Role.ADMIN))
        create_category(session, admin, NewCategory("Shoes"), NOW)
        hats = create_category(session, admin, NewCategory("Hats"), NOW)
        before = rows(session)

    with pytest.raises(Conflict) as refusal, database.transaction() as session:
        change_category(session, admin, hats.id, CategoryChange(slug="shoes"), LATER)

    assert refusal.value.code == "slug_taken"
    with database.reading() as session:
        assert rows(session) == before


def test_a_parent_must_exist(session, admin):
    with pytest.raises(InvalidInput) as refusal:
        create_category(session, admin, NewCategory("Shoes", parent_id=10**30), NOW)

    assert refusal.value.errors[0]["field"] == "parent_id"
    assert rows(session) == []


def test_the_tree_is_five_levels_deep_and_no_more(session, admin):
    levels = chain(session, 4)
    fifth = create_category(session, admin, NewCategory("Fifth", parent_id=levels[3].id), NOW)
    before = rows(session)

    with pytest.raises(InvalidInput) as refusal:
        create_category(session, admin, NewCategory("Sixth", parent_id=fifth.id), NOW)

    assert refusal.value.errors[0]["field"] == "parent_id"
    assert rows(session) == before


def test_a_branch_is_not_moved_where_it_would_be_too_deep(session, admin):
    levels = chain(session, 3)
    branch = make_category(session, "Branch")
    make_category(session, "Twig", make_category(session, "Bough", branch))
    before = rows(session)

    with pytest.raises(InvalidInput) as refusal:
        change_category(session, admin, branch.id, CategoryChange(parent_id=levels[2].id), LATER)

    assert refusal.value.errors[0]["field"] == "parent_id"
    assert rows(session) == before


def test_a_branch_is_moved_with_all_below_it(session, admin):
    levels = chain(session, 2)
    branch = make_category(session, "Branch")
    twig = make_category(session, "Twig", make_category(session, "Bough", branch))

    change_category(session, admin, branch.id, CategoryChange(parent_id=levels[1].id), LATER)

    (top,) = read_category_tree(session)
    (second,) = top.children
    (moved,) = second.children
    assert (moved.id, moved.parent_id) == (branch.id, levels[1].id)
    assert moved.children[0].children[0].id == twig.id


@pytest.mark.parametrize("level", [0, 1, 2], ids=["itself", "its child", "its grandchild"])
def test_a_category_does_not_lie_below_itself(session, admin, level):
    levels = chain(session, 3)
    before = rows(session)

    with pytest.raises(InvalidInput) as refusal:
        change_category(
            session, admin, levels[0].id, CategoryChange(parent_id=levels[level].id), LATER
        )

    assert refusal.value.errors == [
        {"field": "parent_id", "message": "A category cannot lie below itself."}
    ]
    assert rows(session) == before


def test_a_category_is_moved_to_the_top_by_none_and_left_by_unset(session, admin):
    top, below = chain(session, 2)

    change_category(session, admin, below.id, CategoryChange(name="Boots"), LATER)
    assert (below.name, below.parent_id) == ("Boots", top.id)

    change_category(session, admin, below.id, CategoryChange(parent_id=None), LATER)
    assert below.parent_id is None


def test_a_new_name_does_not_move_the_slug(session, admin):
    category = create_category(session, admin, NewCategory("Shoes"), NOW)

    change_category(session, admin, category.id, CategoryChange(name="Footwear"), LATER)

    assert rows(session) == [(category.id, "Footwear", "shoes", None, LATER)]


def test_a_change_to_what_is_there_changes_nothing(session, admin):
    category = create_category(session, admin, NewCategory("Shoes"), NOW)

    change_category(session, admin, category.id, CategoryChange("Shoes", "shoes", None), LATER)

    assert rows(session) == [(category.id, "Shoes", "shoes", None, NOW)]


def test_a_new_slug_makes_new_versions_of_the_products_that_show_it(session, admin):
    shoes, hats = make_category(session, "Shoes"), make_category(session, "Hats")
    boot = make_product(session, category_id=shoes.id)
    cap = make_product(session, category_id=hats.id)
    gone = make_product(session, category_id=shoes.id, deleted_at=NOW)

    change_category(session, admin, shoes.id, CategoryChange(slug="footwear"), LATER)

    session.expire_all()
    assert (boot.version, boot.updated_at) == (2, LATER)
    assert (cap.version, cap.updated_at) == (1, NOW)
    assert (gone.version, gone.updated_at) == (1, NOW)


def test_a_category_in_use_is_not_deleted_and_says_by_how_many(session, admin):
    shoes = make_category(session, "Shoes")
    make_category(session, "Boots", shoes)
    make_product(session, category_id=shoes.id)
    make_product(session, category_id=shoes.id)
    make_product(session, category_id=shoes.id, deleted_at=NOW)
    before = rows(session)

    with pytest.raises(Conflict) as refusal:
        delete_category(session, admin, shoes.id)

    assert refusal.value.code == "category_in_use"
    assert refusal.value.extra == {"children": 1, "products": 2}
    assert rows(session) == before


def test_a_category_that_only_deleted_products_name_is_deleted(session, admin):
    shoes = make_category(session, "Shoes")
    gone = make_product(session, category_id=shoes.id, deleted_at=NOW)

    delete_category(session, admin, shoes.id)

    assert rows(session) == []
    assert gone.category_id is None


@pytest.mark.parametrize("role", [Role.CUSTOMER, Role.SELLER])
def test_only_an_administrator_changes_the_tree(session, role):
    shoes = make_category(session, "Shoes")
    actor = actor_of(make_user(session, role))
    before = rows(session)

    with pytest.raises(Forbidden):
        create_category(session, actor, NewCategory("Hats"), NOW)
    with pytest.raises(Forbidden):
        change_category(session, actor, shoes.id, CategoryChange(name="Hats"), LATER)
    with pytest.raises(Forbidden):
        delete_category(session, actor, shoes.id)

    assert rows(session) == before


@pytest.mark.parametrize("category_id", [0, 999, 10**30])
def test_a_category_that_is_not_there_is_not_found(session, admin, category_id):
    with pytest.raises(NotFound):
        read_category(session, category_id)
    with pytest.raises(NotFound):
        change_category(session, admin, category_id, CategoryChange(name="Hats"), LATER)
    with pytest.raises(NotFound):
        delete_category(session, admin, category_id)

    assert rows(session) == []


def test_the_tree_is_sorted_by_position_then_name(session):
    make_category(session, "banana")
    make_category(session, "Apple")
    make_category(session, "Zucchini").position = -1
    session.flush()

    assert [node.name for node in read_category_tree(session)] == ["Zucchini", "Apple", "banana"]


def test_one_category_comes_with_what_is_below_it(session):
    top, middle, lowest = chain(session, 3)

    node = read_category(session, middle.id)

    assert (node.id, node.parent_id) == (middle.id, top.id)
    assert [child.id for child in node.children] == [lowest.id]


def _race(*works) -> list[object]:
    """Run each in a thread of its own, all starting at once; answers what came of each."""
    barrier = Barrier(len(works))
    outcomes: list[object] = [None] * len(works)

    def run(place, work):
        barrier.wait()
        try:
            outcomes[place] = work()
        except Exception as error:  # noqa: BLE001 - the error is the outcome, asserted below
            outcomes[place] = error

    threads = [Thread(target=run, args=(place, work)) for place, work in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return outcomes


def test_two_that_move_below_each_other_make_no_cycle(database):
    with database.transaction() as session:
        admin = actor_of(make_user(session, Role.ADMIN))
        pairs = [
            (make_category(session, f"A{n}").id, make_category(session, f"B{n}").id)
            for n in range(8)
        ]

    def move(below, above):
        def work():
            with database.transaction() as session:
                change = CategoryChange(parent_id=above)
                return change_category(session, admin, below, change, LATER).id

        return work

    for one, other in pairs:
        outcomes = _race(move(one, other), move(other, one))
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["InvalidInput", "int"]

    with database.reading() as session:
        tops = session.scalar(select(func.count()).where(Category.parent_id.is_(None)))
        assert tops == len(pairs)


def test_a_category_is_not_deleted_under_a_product_that_is_put_into_it(database):
    from app.services.create_product import NewProduct, create_product

    with database.transaction() as session:
        admin = actor_of(make_user(session, Role.ADMIN))
        categories = [make_category(session, f"C{n}").id for n in range(8)]

    def put(category_id):
        def work():
            with database.transaction() as session:
                new = NewProduct("Boot", 100, category=category_id)
                return create_product(session, admin, new, NOW).id

        return work

    def delete(category_id):
        def work():
            with database.transaction() as session:
                delete_category(session, admin, category_id)

        return work

    for category_id in categories:
        put_outcome, delete_outcome = _race(put(category_id), delete(category_id))
        if isinstance(put_outcome, int):
            assert isinstance(delete_outcome, Conflict)
        else:
            assert isinstance(put_outcome, InvalidInput)
            assert delete_outcome is None

    with database.reading() as session:
        kept = session.scalar(select(func.count()).select_from(Category))
        assert session.scalar(select(func.count()).select_from(Product)) == kept
