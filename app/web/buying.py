"""Buying: the basket, the checkout, paying, the order and its receipt."""

from app.web.pages import Pages

buying = Pages("buying", __name__)
