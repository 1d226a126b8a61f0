"""A picture put on a profile or a product, and taken off again. Its files are the jobs' matter."""

from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from app.errors import TooManyRequests, Unavailable
from app.models import Picture, PictureState, Product, User
from app.policies import Actor
from app.services.find_product import find_own_product, lock_product
from app.services.users.accounts import find_user, lock_user

QUOTA_WINDOW = timedelta(days=1)
STORING_LEASE = timedelta(minutes=10)
"""How long files may take to be stored before they count as abandoned."""

STILL_SHOWN = timedelta(minutes=10)
"""How long a replaced picture stays: pages that name it were sent a moment ago."""


@dataclass(frozen=True, slots=True)
class PictureRules:
    """How many pictures one user may store in any 24 hours."""

    per_day: int


def check_picture(
    session: Session, actor: Actor, product_id: int | None, rules: PictureRules, now: datetime
) -> None:
    """Refuse early what ``begin_picture`` would refuse, before any work is spent on the file.

    Raises NotFound, Forbidden, TooManyRequests.
    """
    if product_id is not None:
        find_own_product(session, actor, product_id)
    oldest = session.scalars(
        select(Picture.created_at)
        .where(
            Picture.user_id == actor.user_id,
            Picture.created_at > now - QUOTA_WINDOW,
            Picture.state != PictureState.GIVEN_UP,
        )
        .order_by(Picture.created_at.desc())
        .offset(rules.per_day - 1)
        .limit(1)
    ).one_or_none()
    if oldest is not None:
        raise TooManyRequests(
            f"You may store {rules.per_day} pictures in 24 hours. Go on later.",
            code="too_many_pictures",
            retry_after_seconds=int((oldest + QUOTA_WINDOW - now).total_seconds()) + 1,
        )


def begin_picture(
    session: Session,
    actor: Actor,
    product_id: int | None,
    rules: PictureRules,
    now: datetime,
    *,
    expected_versions: Container[int] | None = None,
) -> Picture:
    """Put on record that files will be stored; show nothing yet.

    Raises NotFound, Forbidden, PreconditionFailed, TooManyRequests.
    """
    # Of two requests, the second counts the first.
    session.execute(select(User.id).where(User.id == actor.user_id).with_for_update(key_share=True))
    check_picture(session, actor, product_id, rules, now)
    if product_id is not None:
        lock_product(session, product_id, expected_versions)
    picture = Picture(
        key=uuid4().hex,
        user_id=actor.user_id,
        product_id=product_id,
        state=PictureState.STORING,
        due_at=now + STORING_LEASE,
        created_at=now,
    )
    session.add(picture)
    session.flush()
    return picture


def show_on_profile(session: Session, picture: Picture, now: datetime) -> User:
    """Make a stored picture its user's; the one before is unwanted from now on.

    Raises Unavailable if it took so long to store that it was given up.
    """
    user = lock_user(session, picture.user_id)
    _retire(session, _of_profile(user.id), now)
    _use(session, picture)
    user.picture_url = picture.address
    user.updated_at = now
    session.flush()
    return user


def show_on_product(
    session: Session,
    actor: Actor,
    picture: Picture,
    product_id: int,
    now: datetime,
    *,
    expected_versions: Container[int] | None = None,
) -> Product:
    """The same for a product. Raises NotFound, Forbidden, PreconditionFailed, Unavailable."""
    find_own_product(session, actor, product_id)
    product = lock_product(session, product_id, expected_versions)
    retire_product_image(session, product_id, now)
    _use(session, picture)
    _set_image(product, picture.address, now)
    session.flush()
    return product


def remove_profile_picture(session: Session, actor: Actor, now: datetime) -> None:
    """Leave the caller's profile without a picture; one without stays as it is."""
    if find_user(session, actor.user_id).picture_url is None:
        return
    user = lock_user(session, actor.user_id)
    _retire(session, _of_profile(user.id), now)
    user.picture_url = None
    user.updated_at = now
    session.flush()


def remove_product_image(
    session: Session,
    actor: Actor,
    product_id: int,
    now: datetime,
    *,
    expected_versions: Container[int] | None = None,
) -> None:
    """Leave a product without an image, wherever that lay; one without stays as it is.

    Raises NotFound, Forbidden, PreconditionFailed.
    """
    find_own_product(session, actor, product_id)
    product = lock_product(session, product_id, expected_versions)
    if product.image_url is None:
        return
    retire_product_image(session, product_id, now)
    _set_image(product, None, now)
    session.flush()


def retire_product_image(session: Session, product_id: int, now: datetime) -> None:
    """The picture that a product has is unwanted from now on; what it names is not changed."""
    _retire(session, Picture.product_id == product_id, now)


def give_up_picture(session: Session, picture: Picture, now: datetime) -> bool:
    """A picture whose storing failed: what there is of its files is erased at the next sweep.

    False if it was given up before: then that sweep may have come and gone.
    """
    given_up = session.execute(
        update(Picture)
        .where(Picture.id == picture.id, Picture.state == PictureState.STORING)
        .values(state=PictureState.GIVEN_UP, due_at=now)
        .returning(Picture.id)
    ).one_or_none()
    return given_up is not None


def _of_profile(user_id: int) -> ColumnElement[bool]:
    return (Picture.user_id == user_id) & Picture.product_id.is_(None)


def _retire(session: Session, whose: ColumnElement[bool], now: datetime) -> None:
    session.execute(
        update(Picture)
        .where(whose, Picture.state == PictureState.IN_USE)
        .values(state=PictureState.UNWANTED, due_at=now + STILL_SHOWN)
    )


def _use(session: Session, picture: Picture) -> None:
    used = session.execute(
        update(Picture)
        .where(Picture.id == picture.id, Picture.state == PictureState.STORING)
        .values(state=PictureState.IN_USE, due_at=None)
        .returning(Picture.id)
    ).one_or_none()
    if used is None:
        raise Unavailable("Storing the picture took too long. Send it again.")


def _set_image(product: Product, address: str | None, now: datetime) -> None:
    product.image_url = address
    product.version += 1
    product.updated_at = now
