"""Buying: the basket, the checkout, paying, the order and its receipt."""

from app.web.buying import basket, checkout, orders, paying
from app.web.buying.blueprint import buying

__all__ = ["basket", "buying", "checkout", "orders", "paying"]
