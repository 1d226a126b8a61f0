"""Baskets: filled, looked into, joined at a sign-in, and turned into an order exactly once."""

from app.services.basket.changes import (
    add_to_basket,
    delete_old_guest_baskets,
    fill_from_order,
    set_quantity,
)
from app.services.basket.check_out import CheckOut, Placed, check_out
from app.services.basket.contents import (
    BasketLineView,
    BasketView,
    count_units,
    look_into_basket,
)
from app.services.basket.join import join_baskets
from app.services.basket.owners import MAX_BASKET_LINES, BasketOwner

__all__ = [
    "MAX_BASKET_LINES",
    "BasketLineView",
    "BasketOwner",
    "BasketView",
    "CheckOut",
    "Placed",
    "add_to_basket",
    "check_out",
    "count_units",
    "delete_old_guest_baskets",
    "fill_from_order",
    "join_baskets",
    "look_into_basket",
    "set_quantity",
]
