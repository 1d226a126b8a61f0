"""Which pictures' files are to go, and which rows when they are gone."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.models import Picture, PictureState, Product
from app.services.pictures import QUOTA_WINDOW


def move_due_pictures(session: Session, now: datetime) -> None:
    """Give up what was never stored to the end; drop rows that count against no quota any more."""
    session.execute(
        update(Picture)
        .where(Picture.state == PictureState.STORING, Picture.due_at <= now)
        .values(state=PictureState.GIVEN_UP)
    )
    session.execute(
        delete(Picture).where(Picture.state == PictureState.ERASED, Picture.due_at <= now)
    )


def pictures_to_erase(session: Session, now: datetime, limit: int) -> Sequence[Picture]:
    return session.scalars(
        select(Picture)
        .where(
            Picture.state.in_((PictureState.UNWANTED, PictureState.GIVEN_UP)),
            Picture.due_at <= now,
        )
        .order_by(Picture.due_at, Picture.id)
        .limit(limit)
    ).all()


def keep_what_is_shown(
    session: Session, pictures: Sequence[Picture], now: datetime
) -> list[Picture]:
    """The pictures that no product names. A seller may have written the address of one into
    another product: such a picture is looked at again in a day.
    """
    addresses = [address for picture in pictures for address in picture.addresses]
    shown = set(
        session.scalars(
            select(Product.image_url).where(
                Product.image_url.in_(addresses), Product.deleted_at.is_(None)
            )
        )
    )
    kept = [picture.id for picture in pictures if not shown.isdisjoint(picture.addresses)]
    if kept:
        session.execute(
            update(Picture).where(Picture.id.in_(kept)).values(due_at=now + QUOTA_WINDOW)
        )
    return [picture for picture in pictures if picture.id not in kept]


def record_erased(session: Session, picture: Picture, now: datetime) -> None:
    """Its files are gone. The row of one that was shown counts against its user's quota for as
    long as that looks back.
    """
    if picture.state == PictureState.GIVEN_UP:
        session.execute(delete(Picture).where(Picture.id == picture.id))
        return
    session.execute(
        update(Picture)
        .where(Picture.id == picture.id)
        .values(
            state=PictureState.ERASED,
            due_at=max(now, picture.created_at + QUOTA_WINDOW),
        )
    )
