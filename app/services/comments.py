"""What people say of products, and the rating that comes of it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Label, Select, delete, exists, select
from sqlalchemy.orm import Session, joinedload

from app.errors import Forbidden, NotFound
from app.models import Comment, Order, OrderLine, OrderStatus, Product
from app.policies import Actor, may_remove_comment
from app.services.find_product import find_product
from app.services.pages import Page, PageRequest, SortKey, paginate
from app.services.records import notify

_BOUGHT = (OrderStatus.PAID, OrderStatus.SHIPPED, OrderStatus.DELIVERED)
_EXCERPT_LENGTH = 200


@dataclass(frozen=True, slots=True)
class NewComment:
    item_id: int
    body: str
    rating: int | None = None


@dataclass(frozen=True, slots=True)
class CommentView:
    """A comment with its author, and whether they bought what they speak of."""

    comment: Comment
    verified_purchase: bool


def list_comments(session: Session, product_id: int, page: PageRequest) -> Page[CommentView]:
    """Newest first. Raises NotFound for a product that is not in the shop."""
    find_product(session, product_id)
    statement = _comments().where(Comment.product_id == product_id)
    found = paginate(session, statement, [SortKey(Comment.id, descending=True)], page)
    return Page(
        [CommentView(comment, bool(verified)) for comment, verified in found.rows],
        next_cursor=found.next_cursor,
        total=found.total,
    )


def find_comment(session: Session, comment_id: int) -> CommentView:
    """Raises NotFound."""
    row = session.execute(_comments().where(Comment.id == comment_id)).one_or_none()
    if row is None:
        raise _no_such_comment()
    return CommentView(row[0], bool(row[1]))


def add_comment(session: Session, actor: Actor, new: NewComment, now: datetime) -> CommentView:
    """Say something of a product; its seller is told. Raises NotFound.

    One may comment again, and rate again: the rating counts once for each user, the latest.
    """
    product = _lock(session, new.item_id)
    if product is None or product.deleted_at is not None:
        raise NotFound("There is no such product.", code="product_not_found")
    before = _rating_of(session, product, actor.user_id)
    comment = Comment(
        product_id=product.id,
        user_id=actor.user_id,
        body=new.body,
        rating=new.rating,
        created_at=now,
    )
    session.add(comment)
    session.flush()
    _count_rating(product, before, _rating_of(session, product, actor.user_id))
    if product.seller_id != actor.user_id:
        _tell_seller(session, actor, product, comment, now)
    session.flush()
    return find_comment(session, comment.id)


def delete_comment(session: Session, actor: Actor, comment_id: int) -> None:
    """Take a comment away, its rating with it; the author's rating before it counts again.

    Raises NotFound, and Forbidden for who is neither its author, the product's seller nor an
    admin: comments are public, so that there is nothing to hide.
    """
    comment = find_comment(session, comment_id).comment
    product = _lock(session, comment.product_id)
    if product is None:
        raise RuntimeError(f"Comment {comment_id} is about a product that has no row.")
    if not may_remove_comment(actor, comment, product):
        raise Forbidden(
            "Only its author, the product's seller or an administrator removes a comment.",
            code="not_your_comment",
        )
    author_id = comment.user_id
    before = _rating_of(session, product, author_id)
    gone = session.execute(
        delete(Comment).where(Comment.id == comment_id).returning(Comment.id)
    ).one_or_none()
    if gone is None:  # somebody else took it away while we waited for the product
        raise _no_such_comment()
    _count_rating(product, before, _rating_of(session, product, author_id))
    session.flush()


def _comments() -> Select[Comment, bool]:
    return select(Comment, _is_verified()).options(joinedload(Comment.user))


def _is_verified() -> Label[bool]:
    return exists(
        select(OrderLine.id)
        .join(Order, Order.id == OrderLine.order_id)
        .where(
            Order.user_id == Comment.user_id,
            Order.status.in_(_BOUGHT),
            OrderLine.product_id == Comment.product_id,
        )
        .correlate(Comment)
    ).label("verified_purchase")


def _lock(session: Session, product_id: int) -> Product | None:
    """The product, deleted or not, locked before any comment is written: of two who rate at once
    the second sees the first one's rating. Its key stays free for the rows that name it.
    """
    return session.scalar(
        select(Product)
        .where(Product.id == product_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )


def _rating_of(session: Session, product: Product, user_id: int) -> int | None:
    """What one user's rating counts as: their latest. A seller's own rating of their product is
    shown and does not count.
    """
    if user_id == product.seller_id:
        return None
    return session.scalar(
        select(Comment.rating)
        .where(
            Comment.product_id == product.id,
            Comment.user_id == user_id,
            Comment.rating.is_not(None),
        )
        .order_by(Comment.id.desc())
        .limit(1)
    )


def _count_rating(product: Product, before: int | None, after: int | None) -> None:
    """Put one user's rating in the place of the one that counted before. The product is locked,
    so that nothing is lost, and however many have rated it costs the same.
    """
    if before == after:
        return
    product.rating_sum += (after or 0) - (before or 0)
    product.rating_count += (after is not None) - (before is not None)
    product.version += 1


def _tell_seller(
    session: Session, actor: Actor, product: Product, comment: Comment, now: datetime
) -> None:
    said = comment.body
    if len(said) > _EXCERPT_LENGTH:
        said = said[: _EXCERPT_LENGTH - 1] + "…"
    stars = "" if comment.rating is None else f" ({comment.rating} of 5)"
    notify(
        session,
        product.seller_id,
        "comment",
        title="A comment on your product",
        body=f"{actor.username} on {product.name}{stars}: {said}",
        now=now,
        product_id=product.id,
    )


def _no_such_comment() -> NotFound:
    return NotFound("There is no such comment.", code="comment_not_found")
