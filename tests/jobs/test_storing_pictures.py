"""Wherever storing a picture ends, the old or the new one is shown, and whole; the rest goes."""

from dataclasses import replace

import pytest
from sqlalchemy import select, update

from app.errors import Forbidden, NotFound, TooManyRequests, Unavailable
from app.jobs import pictures as job
from app.jobs.pictures import erase_unwanted_pictures, put_product_image, put_profile_picture
from app.jobs.work import Work
from app.models import Picture, Product, User
from app.policies import Role
from app.ports import FileStoreError, PicturesBusy
from app.services.change_product import ProductChange, change_product
from app.services.delete_product import delete_product
from tests.core import database_snapshot
from tests.factories import actor_of, make_product, make_user
from tests.pictures import picture
from tests.races.starting_line import tally, together

pytestmark = pytest.mark.usefixtures("logs")

RED, BLUE = picture(color=(255, 0, 0)), picture(color=(0, 0, 255))


class Died(BaseException):
    """The process is gone: nothing after this runs."""


@pytest.fixture
def work(config, database, ports) -> Work:
    return Work(database, ports, config)


@pytest.fixture
def amina(database) -> User:
    with database.transaction() as session:
        return make_user(session)


@pytest.fixture
def boots(database) -> Product:
    with database.transaction() as session:
        return make_product(session, make_user(session, Role.SELLER))


def seller_of(database, product):
    with database.reading() as session:
        return actor_of(session.get_one(User, product.seller_id))


def shown(database, row) -> str | None:
    """The address that a user's or a product's row names now."""
    with database.reading() as session:
        found = session.get_one(type(row), row.id)
        return found.picture_url if isinstance(found, User) else found.image_url


def states(database) -> list[str]:
    with database.reading() as session:
        return [str(state) for state in session.scalars(select(Picture.state).order_by(Picture.id))]


def is_whole(files, address: str) -> bool:
    """Every size of the picture lies in the store."""
    key = address.split("/")[2]
    widths = {path.partition("/")[2] for path in files.files if path.startswith(key)}
    return widths in ({"96.webp", "320.webp"}, {"320.webp", "640.webp", "1280.webp"})


def sweep_twice(work, clock) -> None:
    """Everything that is due within the next hours is done, and the second time changes nothing."""
    clock.advance(hours=2)
    erase_unwanted_pictures(work)
    before = database_snapshot(work.database), dict(work.ports.files.files)
    erase_unwanted_pictures(work)
    assert (database_snapshot(work.database), work.ports.files.files) == before


def only(files, address: str | None) -> bool:
    """Nothing lies in the store but this picture."""
    keys = {path.partition("/")[0] for path in files.files}
    return keys == ({address.split("/")[2]} if address else set())


def test_a_replaced_picture_goes_a_while_later(work, database, clock, files, amina):
    actor = actor_of(amina)
    old = put_profile_picture(work, actor, RED).picture_url
    new = put_profile_picture(work, actor, BLUE).picture_url
    assert states(database) == ["unwanted", "in_use"]
    clock.advance(minutes=9)
    erase_unwanted_pictures(work)
    assert is_whole(files, old)  # pages that name it were sent a moment ago

    clock.advance(minutes=1)
    erase_unwanted_pictures(work)
    assert states(database) == ["erased", "in_use"]
    assert shown(database, amina) == new
    assert is_whole(files, new)
    assert only(files, new)
    clock.advance(hours=24)
    erase_unwanted_pictures(work)
    assert states(database) == ["in_use"]


@pytest.mark.parametrize("step", ["writing 1", "writing 2", "showing"])
def test_a_process_that_dies_leaves_the_old_picture_and_nothing_for_long(
    work, database, clock, files, amina, monkeypatch, step
):
    old = put_profile_picture(work, actor_of(amina), RED).picture_url
    written = []

    def die_at(path: str) -> None:
        written.append(path)
        if step == f"writing {len(written)}":
            raise Died

    def die(*_) -> None:
        raise Died

    files.on_write = die_at
    if step == "showing":
        monkeypatch.setattr(job, "show_on_profile", die)
    with pytest.raises(Died):
        put_profile_picture(work, actor_of(amina), BLUE)

    assert (shown(database, amina), states(database)) == (old, ["in_use", "storing"])
    erase_unwanted_pictures(work)
    assert states(database) == ["in_use", "storing"]  # it might still be at work
    sweep_twice(work, clock)
    assert (shown(database, amina), states(database)) == (old, ["in_use"])
    assert is_whole(files, old)
    assert only(files, old)


def test_a_store_that_fails_on_the_way_changes_nothing(work, database, clock, files, boots):
    seller = seller_of(database, boots)
    old = put_product_image(work, seller, boots.id, RED, None).image_url
    before = database_snapshot(database)

    def is_full(path: str) -> None:
        if path.endswith("/640.webp"):
            raise FileStoreError("No space left on device")

    files.on_write = is_full
    with pytest.raises(Unavailable) as caught:
        put_product_image(work, seller, boots.id, BLUE, None)
    assert caught.value.code == "storage_unavailable"
    assert (shown(database, boots), states(database)) == (old, ["in_use", "given_up"])

    files.is_down = True
    erase_unwanted_pictures(work)
    assert states(database) == ["in_use", "given_up"]
    files.is_down = False
    erase_unwanted_pictures(work)
    assert database_snapshot(database) == before
    assert is_whole(files, old)
    assert only(files, old)


def test_a_product_that_goes_meanwhile_gets_no_picture(work, database, clock, files, boots):
    seller = seller_of(database, boots)

    def delete(_path: str) -> None:
        files.on_write = None
        with database.transaction() as session:
            delete_product(session, seller, boots.id, clock())

    files.on_write = delete
    with pytest.raises(NotFound):
        put_product_image(work, seller, boots.id, RED, None)
    assert states(database) == ["given_up"]
    sweep_twice(work, clock)
    assert (states(database), files.files) == ([], {})


def test_what_took_too_long_is_not_shown(work, database, clock, files, amina):
    def be_slow(_path: str) -> None:
        files.on_write = None
        clock.advance(minutes=10)
        erase_unwanted_pictures(work)

    files.on_write = be_slow
    with pytest.raises(Unavailable):
        put_profile_picture(work, actor_of(amina), RED)
    assert (shown(database, amina), states(database)) == (None, [])
    assert files.files == {}  # also what was written after the sweep had been there


def test_of_many_at_once_one_is_shown_and_none_is_left_over(work, database, clock, files, amina):
    actor = actor_of(amina)
    answers = together([lambda: bool(put_profile_picture(work, actor, RED))] * 6)

    assert tally(answers) == {True: 6}
    last = shown(database, amina)
    assert sorted(states(database)) == ["in_use"] + ["unwanted"] * 5
    sweep_twice(work, clock)
    assert is_whole(files, last)
    assert only(files, last)


def test_a_picture_goes_when_its_product_names_another_or_is_deleted(
    work, database, clock, files, boots
):
    seller = seller_of(database, boots)
    put_product_image(work, seller, boots.id, RED, None)
    with database.transaction() as session:
        same = ProductChange(name="Other", image_url=shown(database, boots))
        change_product(session, seller, boots.id, same, clock())
    assert states(database) == ["in_use"]
    with database.transaction() as session:
        other = ProductChange(image_url="https://elsewhere.example/boot.jpg")
        change_product(session, seller, boots.id, other, clock())
    assert states(database) == ["unwanted"]
    put_product_image(work, seller, boots.id, RED, None)
    with database.transaction() as session:
        delete_product(session, seller, boots.id, clock())
    sweep_twice(work, clock)
    assert (states(database), files.files) == (["erased", "erased"], {})


def test_a_picture_that_another_product_names_stays_for_as_long(
    work, database, clock, files, boots
):
    seller = seller_of(database, boots)
    address = put_product_image(work, seller, boots.id, RED, None).image_url
    with database.transaction() as session:
        twin = make_product(session, image_url=address.replace("/640.", "/1280."))
    put_product_image(work, seller, boots.id, BLUE, None)
    sweep_twice(work, clock)
    assert is_whole(files, address)

    with database.transaction() as session:
        session.execute(update(Product).where(Product.id == twin.id).values(image_url=None))
    clock.advance(hours=24)
    erase_unwanted_pictures(work)
    assert only(files, shown(database, boots))


def test_who_may_not_send_a_picture_is_told_before_it_is_read(work, database, amina, boots):
    def never(*_):
        raise AssertionError("the file was read")

    work = replace(work, config=replace(work.config, pictures_per_day=1))
    put_profile_picture(work, actor_of(amina), RED)
    work = replace(work, ports=replace(work.ports, shrink_picture=never))
    before = database_snapshot(database)
    with pytest.raises(Forbidden):
        put_product_image(work, actor_of(amina), boots.id, RED, None)
    with pytest.raises(TooManyRequests):
        put_profile_picture(work, actor_of(amina), RED)
    assert database_snapshot(database) == before


def test_two_at_once_do_not_share_the_last_place_of_a_day(work, database, amina):
    work = replace(work, config=replace(work.config, pictures_per_day=3))
    answers = together([lambda: bool(put_profile_picture(work, actor_of(amina), RED))] * 5)
    assert tally(answers) == {True: 3, "too_many_pictures": 2}
    assert len(states(database)) == 3


def test_no_free_decoder_is_no_fault_of_the_file(work, database, amina):
    def busy(*_):
        raise PicturesBusy("none free")

    before = database_snapshot(database)
    work = replace(work, ports=replace(work.ports, shrink_picture=busy))
    with pytest.raises(Unavailable) as caught:
        put_profile_picture(work, actor_of(amina), RED)
    assert (caught.value.code, caught.value.retry_after_seconds) == ("pictures_busy", 5)
    assert database_snapshot(database) == before
