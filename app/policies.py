"""Who may do what, on one screen: plain predicates and query conditions."""

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, exists, select, true

from app.models import (
    Comment,
    Notification,
    Order,
    OrderLine,
    OrderStatus,
    Payment,
    Product,
    Task,
    User,
)


class Role(StrEnum):
    CUSTOMER = "customer"
    SELLER = "seller"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks. The role is read from the database at each request, never from a token."""

    user_id: int
    role: Role
    username: str = ""

    @property
    def is_admin(self) -> bool:
        return self.role is Role.ADMIN

    @property
    def may_sell(self) -> bool:
        return self.role in (Role.SELLER, Role.ADMIN)


def may_see_whole_user(actor: Actor | None, user: User) -> bool:
    """E-mail address, phone and role are for the user and for admins."""
    return actor is not None and (actor.is_admin or actor.user_id == user.id)


def may_edit_product(actor: Actor, product: Product) -> bool:
    return actor.is_admin or (actor.may_sell and product.seller_id == actor.user_id)


def may_remove_comment(actor: Actor, comment: Comment, product: Product) -> bool:
    """Its author, the seller of the product that it is about, and admins."""
    return comment.user_id == actor.user_id or may_edit_product(actor, product)


def _sells_in_order(actor: Actor) -> ColumnElement[bool]:
    return exists(
        select(OrderLine.id).where(
            OrderLine.order_id == Order.id, OrderLine.seller_id == actor.user_id
        )
    )


def visible_orders(actor: Actor) -> ColumnElement[bool]:
    """A condition on Order: one's own; a seller's also those with their products."""
    if actor.is_admin:
        return true()
    own = Order.user_id == actor.user_id
    return own | _sells_in_order(actor) if actor.may_sell else own


def own_orders(actor: Actor) -> ColumnElement[bool]:
    """A condition on Order: those that one placed, whatever else one may see."""
    return Order.user_id == actor.user_id


def may_pay_for(actor: Actor, order: Order) -> bool:
    """Only its buyer has a phone asked to pay, not even an admin."""
    return order.user_id == actor.user_id


def orders_whose_money_is_shown(actor: Actor) -> ColumnElement[bool]:
    """A condition on Order: what its buyer says of their money is theirs, and for admins."""
    return true() if actor.is_admin else own_orders(actor)


def cancellable_orders(actor: Actor) -> ColumnElement[bool]:
    return true() if actor.is_admin else Order.user_id == actor.user_id


def fulfillable_orders(actor: Actor) -> ColumnElement[bool]:
    return true() if actor.is_admin else _sells_in_order(actor)


def may_contact_buyer(actor: Actor, order: Order) -> bool:
    """Whether the buyer's phone, address and note are shown to who sells in this order.

    Parcels in Kenya find their door by a call, so a seller needs the whole number, but only while
    there is something to bring: before the money came and after the goods arrived, the buyer is
    left alone. A buyer's e-mail address is never a seller's to know.
    """
    return actor.is_admin or order.status in (OrderStatus.PAID, OrderStatus.SHIPPED)


def may_refund(actor: Actor) -> bool:
    """Money goes back by the hand of an admin alone; sellers and buyers ask one."""
    return actor.is_admin


def visible_payments(actor: Actor) -> ColumnElement[bool]:
    return true() if actor.is_admin else Payment.user_id == actor.user_id


def visible_tasks(actor: Actor) -> ColumnElement[bool]:
    """A condition on Task: one's own, and those that one was given; an admin's all.

    What the shop files belongs to nobody and so reaches an admin. A seller is not shown it for
    being in the order: it is about the buyer's money, and the task that a buyer wrote about their
    own order is the buyer's. An admin gives a seller what a seller should see.
    """
    if actor.is_admin:
        return true()
    return (Task.owner_id == actor.user_id) | (Task.assignee_id == actor.user_id)


def owns_task(actor: Actor, task: Task) -> bool:
    """An admin stands in for every owner."""
    return actor.is_admin or task.owner_id == actor.user_id


def own_notifications(actor: Actor) -> ColumnElement[bool]:
    """What was told to one person is nobody else's to read, not even an admin's."""
    return Notification.user_id == actor.user_id
