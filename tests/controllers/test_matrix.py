"""Attack 33: every route, called by each of seven identities. A route without an entry fails.

Each entry names the statuses in the order of IDENTITIES. Every call finds targets of its own, so
that one identity's success does not spoil the next one's.
"""

import re
from dataclasses import dataclass, fields, replace
from itertools import count

import pytest
from sqlalchemy import select

from app.models import Order, OrderStatus, Payment, Refund, RefundKind
from app.policies import Role
from app.schemas.picture import EXAMPLE
from app.services.move_order import move_order
from app.services.sell_stock import release_stock
from app.web import BLUEPRINTS
from tests.controllers.sign_in import sign_in
from tests.core import after, ask_to_pay, buy, database_snapshot, pay
from tests.factories import (
    make_category,
    make_comment,
    make_delivery,
    make_notification,
    make_product,
    make_task,
    make_user,
    make_webhook,
)
from tests.matters import (
    different,
    disputed,
    found_paid,
    given_up,
    new_order,
    stuck,
    unmatched,
)
from tests.refunding import RULES, ask_refund, lose, stray_money

PAGES = frozenset(blueprint.name for blueprint in BLUEPRINTS)
"""Pages know callers by a cookie, and have a matrix of their own."""

IDENTITIES = ("anonymous", "owner", "stranger", "seller", "other_seller", "admin", "suspended")


@dataclass
class Targets:
    """What one call is aimed at; all of it the owner's and the seller's."""

    owner: int
    product: int
    category: int
    pending_order: int
    payable_order: int
    paid_order: int
    payment: int
    comment: int
    task: int
    notification: int
    refund: int
    by_hand: int
    lost_refund: int
    stray: str
    order_number: str
    unmatched: int
    given_up: int
    found_paid: int
    disputed: int
    different: int
    stuck: int
    webhook: int
    delivery: int


_numbers = count(100)
TARGETS = frozenset(field.name for field in fields(Targets))


@dataclass(frozen=True)
class Entry:
    method: str
    path: str
    statuses: tuple[int, ...]
    body: object = None

    @property
    def expected(self) -> dict[str, int]:
        return dict(zip(IDENTITIES, self.statuses, strict=True))

    def who(self, *, min_status: int = 0, max_status: int = 599) -> list[str]:
        return [
            name for name, status in self.expected.items() if min_status <= status <= max_status
        ]

    @property
    def names(self) -> frozenset[str]:
        """The targets that its path and its body name."""
        return frozenset(re.findall(r"{(\w+)}", f"{self.path} {self.body}"))


def _everybody(status: int, suspended: int | None = None) -> tuple[int, ...]:
    return (*[status] * 6, status if suspended is None else suspended)


def _signed_in(status: int) -> tuple[int, ...]:
    return (401, *[status] * 5, 401)


def _staff(status: int) -> tuple[int, ...]:
    """Any seller, and admins."""
    return (401, 403, 403, status, status, status, 401)


def _its_seller(status: int) -> tuple[int, ...]:
    return (401, 403, 403, status, 403, status, 401)


def _its_owner(status: int) -> tuple[int, ...]:
    """Whose it is, and admins; nobody else learns that it exists."""
    return (401, status, 404, 404, 404, status, 401)


def _admin(status: int) -> tuple[int, ...]:
    return (401, 403, 403, 403, 403, status, 401)


TWO_ADMINS = replace(RULES, approval_above_shillings=0)
NEW_USER = {"username": "mgeni#", "email": "mgeni#@shop.example", "password": "Correct horse 12"}
PICTURE = {"image_base64": EXAMPLE}
NEW_ITEM = {"name": "Kiondo", "price": 900}
STATEMENT = (
    b"Receipt No.,Completion Time,Transaction Status,Paid In,Withdrawn\r\n"
    b"UKL0000001,21-11-2026 10:00:00,Completed,900.00,\r\n"
)
SHEET = b"sku,name,price\r\nK-1,Kiondo,900\r\n"
READ_ORDER = (401, 200, 404, 200, 404, 200, 401)
CANCEL_ORDER = (401, 200, 404, 403, 404, 200, 401)
FULFIL_ORDER = (401, 403, 403, 200, 404, 200, 401)
PAY_ORDER = (401, 202, 404, 403, 404, 403, 401)
READ_PAYMENT = (401, 200, 404, 404, 404, 200, 401)
REMOVE_COMMENT = (401, 204, 403, 204, 403, 204, 401)
READ_NOTIFICATION = (401, 204, 404, 404, 404, 404, 401)


def _catalogue(prefix: str) -> list[Entry]:
    one = f"{prefix}/{{product}}"
    return [
        Entry("GET", prefix, _everybody(200)),
        Entry("POST", prefix, _staff(201), NEW_ITEM),
        Entry("POST", f"{prefix}/import", _staff(200), SHEET),
        Entry("GET", f"{prefix}/export.csv", _staff(200)),
        Entry("GET", one, _everybody(200)),
        Entry("PUT", one, _its_seller(200), {"price": 5}),
        Entry("PATCH", one, _its_seller(200), {"price": 5}),
        Entry("DELETE", one, _its_seller(204)),
        Entry("PUT", f"{one}/image", _its_seller(200), PICTURE),
        Entry("POST", f"{one}/image", _its_seller(200), PICTURE),
        Entry("DELETE", f"{one}/image", _its_seller(204)),
    ]


def _aliased(prefix: str) -> list[Entry]:
    """The resources that answer under /api and at the root."""
    return [
        Entry(
            "POST",
            f"{prefix}/orders",
            _signed_in(201),
            {"products": [{"product_id": "{product}", "quantity": 1}]},
        ),
        Entry("GET", f"{prefix}/orders", _signed_in(200)),
        Entry("GET", f"{prefix}/orders/{{pending_order}}", READ_ORDER),
        Entry("POST", f"{prefix}/orders/{{pending_order}}/cancel", CANCEL_ORDER, {}),
        Entry(
            "POST",
            f"{prefix}/orders/{{pending_order}}/paid",
            PAY_ORDER,
            {"mpesa_receipt": "UKM900000#"},
        ),
        Entry("GET", f"{prefix}/orders/{{pending_order}}/claims", _its_owner(200)),
        Entry(
            "POST", f"{prefix}/orders/{{paid_order}}/fulfil", FULFIL_ORDER, {"status": "shipped"}
        ),
        Entry(
            "POST",
            f"{prefix}/mpesa/stkpush",
            PAY_ORDER,
            {"order_id": "{payable_order}", "phone_number": "0799000111"},
        ),
        Entry("POST", f"{prefix}/mpesa/callback", _everybody(200), {}),
        Entry("GET", f"{prefix}/transactions", _signed_in(200)),
        Entry("GET", f"{prefix}/transactions/{{payment}}", READ_PAYMENT),
        Entry(
            "POST",
            f"{prefix}/transactions/{{payment}}/refund",
            _admin(202),
            {"reason": "Too small"},
        ),
        Entry("POST", f"{prefix}/users", _everybody(201), NEW_USER),
        Entry("GET", f"{prefix}/users", _admin(200)),
        Entry("GET", f"{prefix}/users/{{owner}}", _everybody(200, suspended=401)),
        Entry("PATCH", f"{prefix}/users/{{owner}}", _admin(200), {"role": "seller"}),
    ]


def _exceptions() -> list[Entry]:
    """Money that only a person decides about is an admin's."""
    why = {"reason": "It is on the statement."}
    seen, given = ({"mpesa_receipt": receipt, **why} for receipt in ("UKSEEN#", "UKGIVEN#"))
    one = "/api/exceptions"
    return [
        Entry("GET", one, _admin(200)),
        Entry("GET", f"{one}/{{unmatched}}", _admin(200)),
        Entry("GET", f"{one}/{{unmatched}}/attach?order_number={{order_number}}", _admin(200)),
        Entry(
            "POST", f"{one}/{{unmatched}}/attach", _admin(200), {"order_number": "{order_number}"}
        ),
        Entry("POST", f"{one}/{{unmatched}}/dismiss", _admin(200), why),
        Entry("POST", f"{one}/{{unmatched}}/note", _admin(200), {"note": "I called."}),
        Entry("POST", f"{one}/{{given_up}}/paid", _admin(200), seen),
        Entry("POST", f"{one}/{{given_up}}/not-paid", _admin(200), why),
        Entry("POST", f"{one}/{{found_paid}}/receipt", _admin(200), given),
        Entry("POST", f"{one}/{{disputed}}/is-there", _admin(200), why),
        Entry("POST", f"{one}/{{disputed}}/not-there", _admin(200), why),
        Entry("POST", f"{one}/{{different}}/correct", _admin(200), {"amount": 1000, **why}),
        Entry("POST", f"{one}/{{stuck}}/retry", _admin(200)),
    ]


ENTRIES = [
    *_catalogue("/api/items"),
    *_catalogue("/api/products"),
    *_catalogue("/products"),
    *_aliased("/api"),
    *_aliased(""),
    Entry("GET", "/docs", _everybody(200)),
    Entry("GET", "/healthz", _everybody(200)),
    Entry("GET", "/readyz", _everybody(200)),
    Entry("GET", "/metrics", _everybody(404)),
    Entry("GET", "/api/openapi.json", _everybody(200)),
    Entry("GET", "/api/categories", _everybody(200)),
    Entry("POST", "/api/categories", _admin(201), {"name": "Hats #"}),
    Entry("GET", "/api/categories/{category}", _everybody(200)),
    Entry("PUT", "/api/categories/{category}", _admin(200), {"name": "Caps #"}),
    Entry("PATCH", "/api/categories/{category}", _admin(200), {"name": "Caps #"}),
    Entry("DELETE", "/api/categories/{category}", _admin(204)),
    Entry("POST", "/api/register", _everybody(201), NEW_USER),
    Entry(
        "POST",
        "/api/login",
        _everybody(200),
        {"username": "mmiliki", "password": "Correct horse 12"},
    ),
    Entry("POST", "/api/refresh", _everybody(401)),  # an access token refreshes nothing
    Entry("POST", "/api/logout", _signed_in(204)),
    Entry("GET", "/api/profile", _signed_in(200)),
    Entry("PUT", "/api/profile/picture", _signed_in(200), PICTURE),
    Entry("POST", "/api/profile/picture", _signed_in(200), PICTURE),
    Entry("DELETE", "/api/profile/picture", _signed_in(204)),
    Entry("GET", f"/media/{'0' * 32}/320.webp", _everybody(404)),
    Entry("PUT", "/api/profile", _signed_in(200), {}),
    Entry("PATCH", "/api/profile", _signed_in(200), {}),
    Entry("GET", "/api/reconciliation?day=2026-11-21", _admin(200)),
    Entry("POST", "/api/statements", _admin(200), STATEMENT),
    Entry("GET", "/api/search?query=boot", _everybody(200, suspended=401)),
    Entry("GET", "/api/search?query=boot&type=tasks", _signed_in(200)),
    *_exceptions(),
    Entry("POST", "/api/pay/cb/1.not-the-secret", _everybody(404), {}),
    Entry("POST", "/api/pay/c2b/confirm/not-the-secret", _everybody(404), {}),
    Entry("POST", "/api/pay/c2b/validate/not-the-secret", _everybody(404), {}),
    Entry("POST", "/api/pay/result/1.not-the-secret", _everybody(404), {}),
    Entry("POST", "/api/pay/timeout/1.not-the-secret", _everybody(404), {}),
    Entry("GET", "/api/refunds", _admin(200)),
    Entry("GET", "/api/refunds/{refund}", _admin(200)),
    Entry("POST", "/api/refunds/{refund}/approve", _admin(200)),
    Entry("POST", "/api/refunds/{refund}/reject", _admin(200), {"reason": "Worn"}),
    Entry("POST", "/api/refunds/{by_hand}/complete", _admin(200), {"refund_receipt": "UKM000R#0"}),
    Entry("POST", "/api/refunds/{lost_refund}/fail", _admin(200), {"reason": "Not there"}),
    Entry("POST", "/api/receipts/{stray}/refund", _admin(202), {"reason": "Not ours"}),
    Entry("GET", "/api/comments/{product}", _everybody(200)),
    Entry("POST", "/api/comments", _signed_in(201), {"item_id": "{product}", "body": "Warm"}),
    Entry("DELETE", "/api/comments/{comment}", REMOVE_COMMENT),
    Entry("GET", "/api/tasks", _signed_in(200)),
    Entry("POST", "/api/tasks", _signed_in(201), {"title": "Pack"}),
    Entry("GET", "/api/tasks/{task}", _its_owner(200)),
    Entry("PUT", "/api/tasks/{task}", _its_owner(200), {"status": "done"}),
    Entry("PATCH", "/api/tasks/{task}", _its_owner(200), {"status": "done"}),
    Entry("DELETE", "/api/tasks/{task}", _its_owner(204)),
    Entry("GET", "/api/notifications", _signed_in(200)),
    Entry("POST", "/api/notifications/{notification}/read", READ_NOTIFICATION),
    Entry("POST", "/api/notifications/read-all", _signed_in(204)),
    Entry("GET", "/api/webhooks", _admin(200)),
    Entry("POST", "/api/webhooks", _admin(201), {"url": "https://erp#.example.co.ke/hook"}),
    Entry("GET", "/api/webhooks/{webhook}", _admin(200)),
    Entry("PATCH", "/api/webhooks/{webhook}", _admin(200), {"enabled": False}),
    Entry("DELETE", "/api/webhooks/{webhook}", _admin(204)),
    Entry("POST", "/api/webhooks/{webhook}/rotate-secret", _admin(200)),
    Entry("POST", "/api/webhooks/{webhook}/test", _admin(202)),
    Entry("POST", "/api/webhooks/{webhook}/replay", _admin(202), {"since": "2026-11-22T09:00:00Z"}),
    Entry("GET", "/api/webhooks/{webhook}/deliveries", _admin(200)),
    Entry("GET", "/api/webhooks/{webhook}/deliveries/{delivery}", _admin(200)),
    Entry("POST", "/api/webhooks/{webhook}/deliveries/{delivery}/replay", _admin(202)),
    Entry("GET", "/api/webhook-events", _admin(200)),
]


def _fill(value, targets: Targets, number: int):
    """Put the ids of the targets where an entry names them, and a number where it writes #."""
    if isinstance(value, dict):
        return {key: _fill(inner, targets, number) for key, inner in value.items()}
    if isinstance(value, list):
        return [_fill(inner, targets, number) for inner in value]
    if isinstance(value, str) and value.startswith("{"):
        return getattr(targets, value.strip("{}"))
    return value.replace("#", str(number)) if isinstance(value, str) else value


class World:
    """The people of the matrix, and targets made anew for each call."""

    def __init__(self, app, database) -> None:
        self.client, self.database = app.test_client(), database
        with database.transaction() as session:
            self.people = {
                "owner": make_user(session, username="mmiliki"),
                "stranger": make_user(session),
                "seller": make_user(session, Role.SELLER),
                "other_seller": make_user(session, Role.SELLER),
                "admin": make_user(session, Role.ADMIN),
                "asker": make_user(session, Role.ADMIN),
                "suspended": make_user(session, Role.ADMIN),
            }
        self.headers = {name: sign_in(app, user) for name, user in self.people.items()}
        self.headers["anonymous"] = {}
        with database.transaction() as session:
            session.merge(self.people["suspended"]).suspended_at = after()

    def targets(self, names: frozenset[str] = TARGETS) -> Targets:
        with self.database.transaction() as session:
            return Targets(**dict.fromkeys(TARGETS) | self._made(session, names))

    def _made(self, session, names: frozenset[str]) -> dict[str, int]:
        """What is named, and no more: a sale takes longer than the call that looks at it."""
        owner = self.people["owner"]
        product = make_product(session, self.people["seller"], stock=100)
        made = {"owner": owner.id, "product": product.id}
        if names & {"paid_order", "payment"}:
            payment = self._sell(session, product)
            made |= {"paid_order": payment.order_id, "payment": payment.id}
        if names & {"webhook", "delivery"}:
            webhook = make_webhook(session, self.people["admin"])
            delivery = make_delivery(session, webhook)
            made |= {"webhook": webhook.id, "delivery": delivery.id}
        if "order_number" in names:
            made["order_number"] = new_order(session).number
        makers = {
            "unmatched": lambda: unmatched(session, receipt=f"UKMATRIX{next(_numbers)}").id,
            "given_up": lambda: given_up(session).id,
            "found_paid": lambda: found_paid(session).id,
            "disputed": lambda: disputed(session).id,
            "different": lambda: different(session, receipt=f"UKMATRIX{next(_numbers)}").id,
            "stuck": lambda: stuck(session).id,
            "pending_order": lambda: buy(session, owner, (product, 1)).id,
            "payable_order": lambda: buy(session, owner, (product, 1)).id,
            "category": lambda: make_category(session).id,
            "comment": lambda: make_comment(session, owner, product).id,
            "task": lambda: make_task(session, owner).id,
            "notification": lambda: make_notification(session, owner).id,
            "refund": lambda: self._refund(session, product, rules=TWO_ADMINS).id,
            "by_hand": lambda: self._refund(session, product, method=RefundKind.BY_HAND).id,
            "lost_refund": lambda: lose(session, self._refund(session, product)).refund_id,
            "stray": lambda: stray_money(session, f"UKM0STRAY{product.id}"),
        }
        return made | {name: make() for name, make in makers.items() if name in names}

    def _sell(self, session, product) -> Payment:
        payment = ask_to_pay(session, buy(session, self.people["owner"], (product, 1)))
        pay(session, payment)
        return payment

    def _refund(self, session, product, **ask) -> Refund:
        """Asked for by another admin than the one who calls."""
        return ask_refund(session, self.people["asker"], self._sell(session, product), **ask)

    def call(self, entry: Entry, name: str, targets: Targets):
        body = _fill(entry.body, targets, IDENTITIES.index(name))
        is_file = isinstance(body, bytes)
        return self.client.open(
            entry.path.format(**vars(targets)),
            method=entry.method,
            headers=self.headers[name],
            **({"data": body, "content_type": "text/csv"} if is_file else {"json": body}),
        )

    def tidy(self) -> None:
        """Make room for the next call: a buyer may have only so many orders open."""
        with self.database.transaction() as session:
            for order in session.scalars(select(Order).where(Order.status == OrderStatus.PENDING)):
                move_order(session, order, OrderStatus.CANCELLED, after(hours=1))
                release_stock(session, order.id, after(hours=1))


@pytest.fixture
def world(app, database) -> World:
    return World(app, database)


def test_attack_33_each_identity_reads_what_it_may(world):
    targets = world.targets()
    before = database_snapshot(world.database)
    for entry in ENTRIES:
        if entry.method == "GET":
            found = {name: world.call(entry, name, targets).status_code for name in IDENTITIES}
            assert found == entry.expected, entry
            assert database_snapshot(world.database) == before, entry


def test_attack_33_who_may_not_do_a_thing_changes_nothing_by_asking(world):
    targets = world.targets()
    before = database_snapshot(world.database)
    for entry in ENTRIES:
        if entry.method != "GET":
            for name in entry.who(min_status=400):
                response = world.call(entry, name, targets)
                assert response.status_code == entry.expected[name], (entry, name)
                assert response.mimetype == "application/problem+json", response.text
            assert database_snapshot(world.database) == before, entry


@pytest.mark.parametrize(
    "entry",
    [entry for entry in ENTRIES if entry.method != "GET" and entry.who(max_status=399)],
    ids=lambda entry: f"{entry.method} {entry.path}",
)
def test_attack_33_each_identity_does_what_it_may(entry, world):
    found = {}
    for name in entry.who(max_status=399):
        targets = world.targets(entry.names)
        found[name] = world.call(entry, name, targets).status_code
        world.tidy()
    assert found == {name: entry.expected[name] for name in entry.who(max_status=399)}


def test_attack_33_a_route_without_an_entry_fails(app):
    adapter = app.url_map.bind("localhost")
    covered = set()
    sample = Targets(*[1] * len(fields(Targets)))
    for entry in ENTRIES:
        rule, _ = adapter.match(
            entry.path.partition("?")[0].format(**vars(sample)),
            method=entry.method,
            return_rule=True,
        )
        covered.add((entry.method, rule.rule))
    served = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if rule.endpoint != "static" and rule.endpoint.partition(".")[0] not in PAGES
    }
    assert served - covered == set()
    assert covered - served == set()


def test_every_view_declares_its_guard(app):
    unguarded = [
        rule.rule
        for rule in app.url_map.iter_rules()
        if rule.endpoint != "static" and not hasattr(app.view_functions[rule.endpoint], "guard")
    ]
    assert unguarded == []
