"""Who sells, who buys and what there is, before the first customer comes."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sqlalchemy import update

from app.db import Database
from app.models import User
from app.policies import Role
from drill.caller import Answer, Caller

PASSWORD = "Correct horse 12"  # noqa: S105 - of people who exist for a few minutes
HOT_UNITS = 8
_SELLERS = 3
_ADMINS = 2
"""One asks for a refund, the other approves it."""

_ORDINARY = 40
_ORDINARY_UNITS = 1_000_000
_SCARCE_UNITS = (5, 60)
_SCARCE_SHARE = 50
"""One scarce product for so many payments."""

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Person:
    username: str
    token: str


@dataclass
class Market:
    """``units`` is what each product began with, and may never have been sold beyond."""

    customers: list[Person]
    admins: list[Person]
    ordinary: list[int] = field(default_factory=list)
    scarce: list[int] = field(default_factory=list)
    hot: list[int] = field(default_factory=list)
    units: dict[int, int] = field(default_factory=dict)


def open_market(
    caller: Caller, database: Database, *, payments: int, rushes: int, seed: int
) -> Market:
    """Over the API, save for the roles, of which an API could give none to the first admin."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        sellers = list(
            pool.map(lambda number: _sign_up(caller, f"seller{number}"), range(_SELLERS))
        )
        admins = [_sign_up(caller, f"admin{number}") for number in range(_ADMINS)]
        _promote(database, sellers, Role.SELLER)
        _promote(database, admins, Role.ADMIN)
        how_many = min(max(20, payments // 10), 200)
        names = [f"customer{number}" for number in range(how_many)]
        market = Market(list(pool.map(lambda name: _sign_up(caller, name), names)), admins)
        dice = Random(f"{seed}/market")
        wanted = {
            "ordinary": [_ORDINARY_UNITS] * _ORDINARY,
            "scarce": [dice.randint(*_SCARCE_UNITS) for _ in range(2 + payments // _SCARCE_SHARE)],
            "hot": [HOT_UNITS] * rushes,
        }
        for kind, shelves in wanted.items():
            goods = [
                (sellers[number % _SELLERS], f"{kind} {number}", dice.randint(100, 250_000), units)
                for number, units in enumerate(shelves)
            ]
            made = list(pool.map(lambda one: _offer(caller, *one), goods))
            setattr(market, kind, made)
            market.units.update(zip(made, shelves, strict=True))
    return market


def _sign_up(caller: Caller, name: str) -> Person:
    new = {"username": name, "email": f"{name}@shop.example", "password": PASSWORD}
    _insist(caller.call("POST", "/api/register", new), 201)
    signed_in = _insist(
        caller.call("POST", "/api/login", {"username": name, "password": PASSWORD}), 200
    )
    return Person(name, signed_in["access_token"])


def _promote(database: Database, people: list[Person], role: Role) -> None:
    with database.transaction() as session:
        session.execute(
            update(User)
            .where(User.username.in_([one.username for one in people]))
            .values(role=role)
        )


def _offer(caller: Caller, seller: Person, name: str, price_cents: int, units: int) -> int:
    new = {"name": name, "price": price_cents / 100, "stock": units}
    product_id: int = _insist(caller.call("POST", "/api/items", new, token=seller.token), 201)["id"]
    return product_id


def _insist(answer: Answer, status: int) -> dict[str, Any]:
    if answer.status != status:
        raise RuntimeError(f"The market cannot be opened: {answer}")
    return answer.document
