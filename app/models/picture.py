from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Code, Id, Moment, When, one_of, refers_to, table

MEDIA = "/media"
WIDTHS_OF_A_PROFILE = (96, 320)
WIDTHS_OF_A_PRODUCT = (320, 640, 1280)
KEY = r"[0-9a-f]{32}"
"""What a picture's folder is called; it is random, so that no address can be guessed."""


class PictureState(StrEnum):
    """``storing → in_use → unwanted → erased``, or ``storing → given_up``. None is taken back."""

    STORING = "storing"
    IN_USE = "in_use"
    UNWANTED = "unwanted"
    GIVEN_UP = "given_up"
    ERASED = "erased"


_IN_USE = text("state = 'in_use'")


class Picture(Base):
    """Files of one picture in the file store, known here before the first of them is written.

    It shows ``product_id``, or without that the user who put it there. ``due_at`` is when the next
    thing happens to it: a storing one is given up, the files of an unwanted or given up one are
    erased, the row of an erased one is dropped. One in use stays until it is replaced.
    """

    __tablename__ = "pictures"
    __table_args__ = table(
        one_of("state", PictureState),
        CheckConstraint("(state = 'in_use') = (due_at IS NULL)", name="due_unless_in_use"),
        Index("ix_pictures_user_id_created_at", "user_id", "created_at"),
        Index("ix_pictures_due_at", "due_at"),
        Index(
            "uq_pictures_product_in_use",
            "product_id",
            unique=True,
            sqlite_where=_IN_USE,
            postgresql_where=_IN_USE,
        ),
        Index(
            "uq_pictures_profile_in_use",
            "user_id",
            unique=True,
            sqlite_where=text("state = 'in_use' AND product_id IS NULL"),
            postgresql_where=text("state = 'in_use' AND product_id IS NULL"),
        ),
    )

    id: Mapped[Id]
    key: Mapped[str] = mapped_column(String(32), unique=True)
    user_id: Mapped[int] = refers_to("users.id")
    product_id: Mapped[int | None] = refers_to("products.id")
    state: Mapped[Code] = mapped_column(default=PictureState.STORING)
    due_at: Mapped[datetime | None] = mapped_column(Moment)
    created_at: Mapped[When]

    @property
    def widths(self) -> tuple[int, ...]:
        return WIDTHS_OF_A_PROFILE if self.product_id is None else WIDTHS_OF_A_PRODUCT

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where its sizes are served, as paths on this site."""
        return tuple(f"{MEDIA}/{file_of(self.key, width)}" for width in self.widths)

    @property
    def address(self) -> str:
        """The one of them that a user's or a product's row names."""
        return self.addresses[1]


def file_of(key: str, width: int) -> str:
    """The name of one size in the file store."""
    return f"{key}/{width}.webp"
