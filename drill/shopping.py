"""Filling a basket: what nearly every story begins with."""

from typing import Any

from drill.buyer import Buyer, Steps

_SCARCE_CHANCE = 0.2


def order_something(buyer: Buyer, phone: str | None = None) -> Steps[dict[str, Any] | None]:
    """What is in the basket; where that is sold out, something of which there is plenty."""
    order = yield from buyer.order(_fill_basket(buyer), phone)
    if order is None:
        order = yield from buyer.order(one_of_plenty(buyer), phone)
    return order


def one_of_plenty(buyer: Buyer) -> dict[int, int]:
    return {buyer.dice.choice(buyer.world.market.ordinary): 1}


def _fill_basket(buyer: Buyer) -> dict[int, int]:
    """Up to three products in no order; at times one of which there are few."""
    market, dice = buyer.world.market, buyer.dice
    chosen = dice.sample(market.ordinary, k=dice.randint(1, 3))
    if market.scarce and dice.random() < _SCARCE_CHANCE:
        chosen.insert(dice.randint(0, len(chosen)), dice.choice(market.scarce))
    return {product_id: dice.randint(1, 3) for product_id in chosen}
