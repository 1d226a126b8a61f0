"""What people say of a product, some with a rating."""

from sqlalchemy import Index, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.base import Base, Id, Quantity, When, refers_to, table, whole
from app.models.user import User

LOWEST_RATING, HIGHEST_RATING = 1, 5


class Comment(Base):
    """One comment of one user. The text is data: whoever shows it escapes it.

    Whether its author bought the product is worked out from the orders, never stored: a sale that
    is refunded takes the mark away.
    """

    __tablename__ = "comments"
    __table_args__ = table(
        whole("rating", LOWEST_RATING, HIGHEST_RATING),
        Index("ix_comments_product_id_id", "product_id", "id"),
        Index("ix_comments_product_id_user_id_id", "product_id", "user_id", "id"),
    )

    id: Mapped[Id]
    product_id: Mapped[int] = refers_to("products.id")
    user_id: Mapped[int] = refers_to("users.id")
    body: Mapped[str] = mapped_column(Text)
    rating: Mapped[Quantity | None]
    created_at: Mapped[When]

    user: Mapped[User] = relationship(lazy="raise")
