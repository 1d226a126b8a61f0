"""One account as an admin sees it, and who is there at all."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.models import LoginSession, Order, Product, User
from app.policies import Role
from app.services.users.accounts import find_user


@dataclass(frozen=True, slots=True)
class UserFile:
    """An account, what it bought and offers, and when somebody last signed in to it."""

    user: User
    order_count: int
    product_count: int
    last_sign_in: datetime | None


def find_user_file(session: Session, user_id: int) -> UserFile:
    """Raises NotFound."""
    user = find_user(session, user_id)
    bought = select(func.count(Order.id)).where(Order.user_id == user_id)
    offers = select(func.count(Product.id)).where(
        Product.seller_id == user_id, Product.deleted_at.is_(None)
    )
    sign_ins = select(func.max(LoginSession.created_at)).where(LoginSession.user_id == user_id)
    return UserFile(
        user=user,
        order_count=session.scalars(bought).one(),
        product_count=session.scalars(offers).one(),
        last_sign_in=session.scalar(sign_ins),
    )


def has_admin(session: Session) -> bool:
    """Whether anybody can enter the office as an admin."""
    admins = select(User.id).where(User.role == Role.ADMIN, User.suspended_at.is_(None)).limit(1)
    return session.scalar(admins) is not None


def list_usernames_at(session: Session, domain: str) -> list[str]:
    """Who can sign in and has an e-mail address at this domain."""
    return list(
        session.scalars(
            select(User.username)
            .where(User.email_key.endswith(f"@{domain}", autoescape=True))
            .where(User.suspended_at.is_(None))
            .order_by(User.id)
        )
    )
