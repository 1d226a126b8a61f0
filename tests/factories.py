"""Rows for tests, each valid by itself; say only what the test is about."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count

from sqlalchemy.orm import Session
from werkzeug.security import generate_password_hash

from app.models import (
    Category,
    Comment,
    MovementKind,
    Notification,
    Product,
    StockMovement,
    Task,
    User,
    WebhookDelivery,
    WebhookEndpoint,
)
from app.policies import Actor, Role
from app.services.webhooks.emit import add_delivery, keep_event
from app.services.webhooks.event_types import EventType

PASSWORD = "Correct horse 12"
CHEAP_HASH = "scrypt:128:8:1"
_PASSWORD_HASH = generate_password_hash(PASSWORD, method=CHEAP_HASH)
NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
_numbers = count(1)


def make_user(session: Session, role: Role | str = Role.CUSTOMER, **fields) -> User:
    number = next(_numbers)
    username = fields.pop("username", f"user{number}")
    email = fields.pop("email", f"user{number}@shop.example")
    user = User(
        **{
            "username": username,
            "username_key": username.casefold(),
            "email": email,
            "email_key": email.casefold(),
            "phone_number": f"2547{number:08d}",
            "password_hash": _PASSWORD_HASH,
            "role": str(role),
            "created_at": NOW,
            "updated_at": NOW,
            **fields,
        }
    )
    session.add(user)
    session.flush()
    return user


def actor_of(user: User) -> Actor:
    return Actor(user.id, Role(user.role), user.username)


def make_category(session: Session, name: str = "Shoes", parent: Category | None = None):
    number = next(_numbers)
    category = Category(
        name=name,
        slug=f"{name.lower().replace(' ', '-')}-{number}",
        parent_id=parent.id if parent else None,
        created_at=NOW,
        updated_at=NOW,
    )
    session.add(category)
    session.flush()
    return category


def make_product(
    session: Session,
    seller: User | None = None,
    *,
    stock: int = 10,
    price_cents: int = 150_000,
    **fields,
) -> Product:
    seller = seller or make_user(session, Role.SELLER)
    product = Product(
        **{
            "seller_id": seller.id,
            "name": f"Product {next(_numbers)}",
            "price_cents": price_cents,
            "on_hand": stock,
            "created_at": NOW,
            "updated_at": NOW,
            **fields,
        }
    )
    session.add(product)
    session.flush()
    if stock:
        session.add(
            StockMovement(
                product_id=product.id,
                kind=MovementKind.RECEIPT,
                on_hand_delta=stock,
                reserved_delta=0,
                created_at=NOW,
            )
        )
        session.flush()
    return product


def make_comment(session: Session, author: User, product: Product, **fields) -> Comment:
    """A comment as a row: the product's rating is not summed up anew."""
    comment = Comment(
        **{
            "product_id": product.id,
            "user_id": author.id,
            "body": f"Comment {next(_numbers)}",
            "created_at": NOW,
            **fields,
        }
    )
    session.add(comment)
    session.flush()
    return comment


def make_task(session: Session, owner: User | None, **fields) -> Task:
    task = Task(
        **{
            "title": f"Task {next(_numbers)}",
            "owner_id": owner.id if owner else None,
            "created_at": NOW,
            "updated_at": NOW,
            **fields,
        }
    )
    session.add(task)
    session.flush()
    return task


def make_notification(session: Session, user: User, **fields) -> Notification:
    notification = Notification(
        **{
            "user_id": user.id,
            "kind": "order_paid",
            "title": f"Notification {next(_numbers)}",
            "body": "Thank you.",
            "created_at": NOW,
            **fields,
        }
    )
    session.add(notification)
    session.flush()
    return notification


SECRET_OF_WEBHOOKS = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def make_webhook(session: Session, admin: User | None = None, **fields) -> WebhookEndpoint:
    admin = admin or make_user(session, Role.ADMIN)
    endpoint = WebhookEndpoint(
        **{
            "url": f"https://erp{next(_numbers)}.example.co.ke/sokoni",
            "secret": SECRET_OF_WEBHOOKS,
            "created_by": admin.id,
            "created_at": NOW,
            "updated_at": NOW,
            **fields,
        }
    )
    session.add(endpoint)
    session.flush()
    return endpoint


def make_delivery(session: Session, endpoint: WebhookEndpoint, **fields) -> WebhookDelivery:
    """An event that nothing happened for, on its way to one endpoint."""
    now = fields.pop("created_at", NOW)
    event = keep_event(session, EventType.ORDER_PAID, {"id": next(_numbers)}, now)
    delivery = add_delivery(session, endpoint.id, event, now)
    for name, value in fields.items():
        setattr(delivery, name, value)
    session.flush()
    return delivery


def ids(rows: Sequence) -> list[int]:
    return [row.id for row in rows]
