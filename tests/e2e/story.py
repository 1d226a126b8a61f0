"""Every row of the simulator's table at once, each with its own buyer, product and phone.

The simulated clock stands still and is moved in steps, so that what comes late is late by intent
and not because a machine was slow.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from sqlalchemy import select

from app.models import Payment
from drill.processes import wait_until
from tests.e2e.shop import Facts, Purchase, Shop

T = TypeVar("T")

SUCCESS = "5678"
"""The digits of a phone that has no row of its own: its owner pays."""

# Pushes that end without an answer which can be read. Five in a row would open the circuit
# breaker of the web server, so others are put between them.
SILENT = ("7019", "7020", "7021", "7022", "7023", "7028")
STAY_OPEN = frozenset({"7014", "7020", "7022", "7204", "7205"})
"""What no query and no callback ends: time does, or a person."""

ASKED_WHILE_PENDING = ("7001", "7201", "7202", "7203", "7204", "7205", "7206")
"""Their queries differ before the end; each is to be asked once by then."""

FAILS_FIRST = "7018"
_AT_ONCE = 6


@dataclass
class Story:
    shop: Shop
    outcomes: dict[str, dict[str, str | None]]
    purchases: dict[str, Purchase] = field(default_factory=dict)
    facts: dict[str, Facts] = field(default_factory=dict)
    midway: dict[str, str] = field(default_factory=dict)
    """How each row stood when callbacks alone had told of it."""

    @property
    def unbooked(self) -> list[Purchase]:
        """Safaricom took the money, and no road that can be believed told us."""
        return [self.purchases[digits] for digits in ("7014", "7020", "7204", "7205")]

    @property
    def disputed(self) -> list[Purchase]:
        """A callback was believed for its secret, and a query contradicts it."""
        return [self.purchases["7017"]]


def tell_story(shop: Shop) -> Story:
    listed = shop.simulate("GET", "/outcomes")["outcomes"]
    story = Story(shop, {one["digits"] or SUCCESS: one for one in listed})
    order = list(spread(SILENT, [one for one in story.outcomes if one not in SILENT]))
    shop.seller()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        bought = pool.map(lambda digits: shop.prepare(digits, name=digits), order)
        story.purchases = dict(zip(order, bought, strict=True))
        list(pool.map(lambda digits: shop.push(story.purchases[digits]), order))
        _let_it_happen(story)
        facts = pool.map(lambda digits: shop.facts(story.purchases[digits]), order)
        story.facts = dict(zip(order, facts, strict=True))
    return story


def _let_it_happen(story: Story) -> None:
    shop = story.shop
    _wait_until_asked(story, ASKED_WHILE_PENDING)
    shop.stop_worker()  # so that it is the callbacks, and no query, that tell the end
    shop.advance(30)  # payers answer, phones that are off are given up
    _wait_until_read(story)
    story.midway = _statuses(story)
    shop.start_worker(wait=False)
    shop.advance(35)  # prompts run out; a success follows a failure
    _wait_until_final(story, STAY_OPEN | {"7202", "7206"})
    shop.advance(200)  # what is minutes late comes, and queries find their transaction
    _wait_until_final(story, STAY_OPEN | {"7202"})
    shop.advance(2000)  # even the slowest query knows the end
    _wait_until_final(story, STAY_OPEN)
    _wait_until_read(story)
    _wait_until_nobody_asks(story, STAY_OPEN)
    shop.restart_worker(MPESA_NO_ANSWER_AFTER_SECONDS="0.1", MPESA_GIVE_UP_AFTER_SECONDS="0.1")
    _wait_until_nobody_asks(story, frozenset())
    shop.restart_worker(wait=False)


def _statuses(story: Story) -> dict[str, str]:
    by_id = story.shop.statuses()
    return {digits: by_id[purchase.transaction_id] for digits, purchase in story.purchases.items()}


def _wait_until_final(story: Story, but: frozenset[str] | set[str]) -> None:
    def open_rows() -> set[str]:
        return {
            digits
            for digits, status in _statuses(story).items()
            if status in {"created", "pending", "unknown"}
        } - but

    try:
        wait_until(lambda: not open_rows(), "every row but a few is final")
    except AssertionError as error:
        raise AssertionError(f"{error} Still open: {sorted(open_rows())}") from None


def _wait_until_read(story: Story) -> None:
    """Until every message of the inbox has been acted upon."""
    wait_until(lambda: not story.shop.unread_messages(), "the inbox is empty")


def _wait_until_asked(story: Story, rows: Sequence[str]) -> None:
    ids = [story.purchases[digits].transaction_id for digits in rows]
    never_asked = select(Payment.id).where(Payment.id.in_(ids), Payment.check_count == 0)

    def are_asked() -> bool:
        with story.shop.reading() as session:
            return session.scalars(never_asked).first() is None

    wait_until(are_asked, "the query job has asked about every prompt that will be silent")


def _wait_until_nobody_asks(story: Story, but: frozenset[str]) -> None:
    """Until no check is planned any more; what a callback settled has been confirmed by then."""
    others = [story.purchases[digits].transaction_id for digits in but]
    planned = select(Payment.id).where(
        Payment.next_check_at.is_not(None), Payment.id.not_in(others)
    )

    def is_quiet() -> bool:
        with story.shop.reading() as session:
            return session.scalars(planned).first() is None

    wait_until(is_quiet, "every open payment was confirmed, let go or handed over")


def spread(few: Sequence[T], many: Sequence[T], *, every: int = 8) -> Iterator[T]:
    """The many, with one of the few after every so many of them."""
    rest = iter(few)
    for number, one in enumerate(many, 1):
        yield one
        if number % every == 0:
            yield from islice(rest, 1)
    yield from rest
