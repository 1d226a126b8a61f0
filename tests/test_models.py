"""The database is the last to be fooled: what its constraints refuse by themselves."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import CheckConstraint, UniqueConstraint, inspect, text
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError

from app.models import Base, WebhookAttempt
from app.models.base import MAX_CENTS, MAX_COUNT
from app.models.item import MAX_STOCK
from tests.core import ask_to_pay, buy, make_buyer, pay, snapshot
from tests.factories import NOW, make_delivery, make_product, make_webhook

HISTORIES = (
    "decisions",
    "ledger_events",
    "ledger_entries",
    "order_events",
    "payment_events",
    "refund_events",
    "stock_movements",
)


@pytest.fixture
def shop(session):
    """A row in each table of orders, stock and money."""
    order = buy(session, make_buyer(session), (make_product(session, price_cents=149_950), 1))
    payment = ask_to_pay(session, order)
    pay(session, payment)
    session.execute(
        text(
            "INSERT INTO callback_inbox (source, body, truncated, headers, received_at, attempts)"
            " VALUES ('stk_callback', :body, :no, '{}', :now, 0)"
        ),
        {"body": b"", "no": False, "now": NOW.isoformat()},
    )
    session.execute(
        text(
            "INSERT INTO comments (product_id, user_id, body, created_at)"
            " SELECT id, seller_id, 'Warm', created_at FROM products"
        )
    )
    session.execute(
        text(
            "INSERT INTO tasks (kind, title, description, status, priority, created_at, updated_at)"
            " VALUES ('manual', 'Pack', '', 'todo', 'low', :now, :now)"
        ),
        {"now": NOW.isoformat()},
    )
    session.execute(
        text(
            "INSERT INTO baskets (user_id, version, ordered_version, last_order_id, created_at,"
            " updated_at) SELECT user_id, 2, 1, id, created_at, created_at FROM orders"
        )
    )
    session.execute(
        text(
            "INSERT INTO basket_lines (basket_id, product_id, quantity, price_cents, created_at)"
            " SELECT baskets.id, products.id, 1, 100, products.created_at FROM baskets, products"
        )
    )
    session.execute(text("INSERT INTO rate_counters (key, hits, expires_at) VALUES ('k', 1, 0)"))
    _make_rows_of_refunds(session)
    _make_rows_of_webhooks(session)
    session.execute(
        text(
            "INSERT INTO categories (name, slug, position, created_at, updated_at)"
            " VALUES ('Shoes', 'shoes', 0, :now, :now)"
        ),
        {"now": NOW.isoformat()},
    )
    session.flush()


def _make_rows_of_refunds(session) -> None:
    """A refund, its request and history, a claim, a decision, a line of M-Pesa's books."""
    for statement in (
        (
            "INSERT INTO refunds (kind, state, order_id, payment_id, receipt, amount_cents, reason,"
            " restock, requested_by, approved_by, refund_receipt, check_count, created_at,"
            " updated_at)"
            " SELECT 'reversal', 'created', order_id, id, mpesa_receipt, amount_cents, 'Late', :no,"
            " user_id, (SELECT max(id) FROM users), 'UKMREFUND', 0, created_at, created_at"
            " FROM payments"
        ),
        (
            "INSERT INTO refund_events (refund_id, to_state, source, created_at)"
            " SELECT id, state, 'request', created_at FROM refunds"
        ),
        (
            "INSERT INTO payment_claims (order_id, user_id, receipt, state, created_at, updated_at)"
            " SELECT order_id, user_id, mpesa_receipt, 'open', created_at, created_at FROM payments"
        ),
        (
            "INSERT INTO mpesa_requests (kind, state, refund_id, secret_hash, created_at)"
            " SELECT 'reversal', 'created', id, 'hash', created_at FROM refunds"
        ),
        (
            "INSERT INTO decisions (task_id, action, created_at)"
            " SELECT id, 'dismiss', created_at FROM tasks"
        ),
        (
            "INSERT INTO statement_imports (source, covers_from, covers_to, row_count, fresh_count,"
            " different_count, unreadable_count, created_at)"
            " SELECT 'file', created_at, created_at, 1, 1, 0, 0, created_at FROM payments"
        ),
        (
            "INSERT INTO statement_lines (import_id, receipt, amount_cents, transacted_at, details,"
            " created_at)"
            " SELECT i.id, p.mpesa_receipt, p.amount_cents, p.created_at, '', p.created_at"
            " FROM statement_imports AS i, payments AS p"
        ),
    ):
        values = {"no": False} if ":no" in statement else {}
        session.execute(text(statement), values)


def _make_rows_of_webhooks(session) -> None:
    delivery = make_delivery(session, make_webhook(session), last_status=204, last_duration_ms=5)
    session.add(WebhookAttempt(delivery_id=delivery.id, status=204, duration_ms=5, created_at=NOW))
    session.flush()


def is_refused_by_the_database(session, statement: str, **values) -> bool:
    before = snapshot(session)
    with pytest.raises(DBAPIError), session.begin_nested():
        session.execute(text(statement), values)
    assert snapshot(session) == before
    return True


def free(session, table: str) -> None:
    """Let a history be rewritten, inside a transaction that is thrown away."""
    if table in HISTORIES:
        if session.get_bind().dialect.name == "sqlite":
            session.execute(text(f"DROP TRIGGER IF EXISTS {table}_no_update"))
        else:
            session.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER {table}_append_only"))


WHOLE = {
    ("products", "price_cents"): (0, MAX_CENTS),
    ("products", "on_hand"): (0, MAX_STOCK),
    ("products", "reserved"): (0, MAX_STOCK),
    ("products", "low_stock_threshold"): (0, MAX_STOCK),
    ("products", "version"): (1, MAX_COUNT),
    ("products", "rating_sum"): (0, MAX_COUNT),
    ("products", "rating_count"): (0, MAX_COUNT),
    ("comments", "rating"): (1, 5),
    ("categories", "position"): (-MAX_COUNT, MAX_COUNT),
    ("baskets", "version"): (1, MAX_COUNT),
    ("baskets", "ordered_version"): (1, MAX_COUNT),
    ("basket_lines", "quantity"): (1, 1000),
    ("basket_lines", "price_cents"): (0, MAX_CENTS),
    ("orders", "total_cents"): (1, MAX_CENTS),
    ("order_lines", "quantity"): (1, MAX_STOCK),
    ("order_lines", "unit_price_cents"): (0, MAX_CENTS),
    ("order_lines", "position"): (0, MAX_COUNT),
    ("reservations", "quantity"): (1, MAX_STOCK),
    ("stock_movements", "on_hand_delta"): (-MAX_STOCK, MAX_STOCK),
    ("stock_movements", "reserved_delta"): (-MAX_STOCK, MAX_STOCK),
    ("payments", "amount_cents"): (1, MAX_CENTS),
    ("payments", "check_count"): (0, MAX_COUNT),
    ("mpesa_receipts", "amount_cents"): (0, MAX_CENTS),
    ("ledger_entries", "amount_cents"): (-MAX_CENTS, MAX_CENTS),
    ("callback_inbox", "attempts"): (0, MAX_COUNT),
    ("rate_counters", "hits"): (0, MAX_COUNT),
    ("webhook_endpoints", "secret_version"): (1, MAX_COUNT),
    ("webhook_deliveries", "attempt_count"): (0, MAX_COUNT),
    ("webhook_deliveries", "last_status"): (0, 999),
    ("webhook_deliveries", "last_duration_ms"): (0, MAX_COUNT),
    ("webhook_attempts", "status"): (0, 999),
    ("webhook_attempts", "duration_ms"): (0, MAX_COUNT),
    ("refunds", "amount_cents"): (1, MAX_CENTS),
    ("refunds", "check_count"): (0, MAX_COUNT),
    ("statement_lines", "amount_cents"): (-MAX_CENTS, MAX_CENTS),
    ("statement_imports", "row_count"): (0, MAX_COUNT),
    ("statement_imports", "fresh_count"): (0, MAX_COUNT),
    ("statement_imports", "different_count"): (0, MAX_COUNT),
    ("statement_imports", "unreadable_count"): (0, MAX_COUNT),
}


def test_money_and_counts_are_whole_numbers_within_their_bounds(session, shop, database_kind):
    # PostgreSQL's own types round 1.5 and refuse the texts; SQLite's would keep them.
    bad = ["'abc'", "9e999", "-9e999"] if database_kind == "sqlite" else ["'abc'", "'NaN'"]
    if database_kind == "sqlite":
        bad += ["1.5", "x'31'", "''"]
    for (table, column), (low, high) in WHOLE.items():
        free(session, table)
        for value in (*bad, str(low - 1), str(high + 1)):
            assert is_refused_by_the_database(session, f"UPDATE {table} SET {column} = {value}"), (
                table,
                column,
                value,
            )


def test_every_whole_number_of_the_models_is_in_the_table_above():
    found = {
        (table.name, str(constraint.name).removeprefix(f"ck_{table.name}_").removesuffix("_whole"))
        for table in Base.metadata.sorted_tables
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint) and str(constraint.name).endswith("_whole")
    }
    assert found == set(WHOLE)


STATES = {
    ("orders", "status"),
    ("payments", "status"),
    ("payments", "kind"),
    ("reservations", "state"),
    ("stock_movements", "kind"),
    ("ledger_events", "kind"),
    ("ledger_entries", "account"),
    ("callback_inbox", "source"),
    ("users", "role"),
    ("tasks", "status"),
    ("tasks", "kind"),
    ("tasks", "priority"),
    ("mpesa_receipts", "state"),
    ("mpesa_requests", "kind"),
    ("mpesa_requests", "state"),
    ("payment_claims", "state"),
    ("refunds", "kind"),
    ("refunds", "state"),
    ("statement_imports", "source"),
    ("webhook_endpoints", "disabled_reason"),
    ("webhook_deliveries", "state"),
}


def test_states_are_among_those_we_know(session, shop):
    for table, column in sorted(STATES):
        free(session, table)
        for value in ("", "Paid", "nonsense"):
            assert is_refused_by_the_database(
                session, f"UPDATE {table} SET {column} = :value", value=value
            )


RULES = {
    "more promised than there is": "UPDATE products SET reserved = on_hand + 1",
    "an order that expires before it is made": "UPDATE orders SET expires_at = '2020-01-01'",
    "a part of a shilling asked of M-Pesa": "UPDATE payments SET amount_cents = 150050",
    "a phone of another length": "UPDATE users SET phone_number = '0712345678'",
    "a category of itself": "UPDATE categories SET parent_id = id",
    "an order of nobody": "UPDATE orders SET user_id = 999999",
    "a payment of no order": "UPDATE payments SET order_id = 999999",
    "a line of no product": "UPDATE order_lines SET product_id = 999999",
    "an order deleted under its lines": "DELETE FROM orders",
    "a product deleted under its orders": "DELETE FROM products",
    "a prompt to no phone": "UPDATE payments SET msisdn = NULL",
    "a prompt whose report nobody can prove": "UPDATE payments SET callback_secret_hash = NULL",
    "a receipt that is counted for nothing": "UPDATE mpesa_receipts SET payment_id = NULL",
    "a refund of one pair of eyes": "UPDATE refunds SET approved_by = requested_by",
    "a refund of no payment": "UPDATE refunds SET payment_id = 999999",
    "a basket of nobody": "UPDATE baskets SET user_id = NULL",
    "a basket of a user and a guest": "UPDATE baskets SET token_hash = 'a'",
    "a basket ordered as no order": "UPDATE baskets SET last_order_id = NULL",
    "a webhook disabled for no reason": "UPDATE webhook_endpoints SET disabled_at = created_at",
    "a webhook without a secret": "UPDATE webhook_endpoints SET secret = NULL",
    "an old secret for ever": "UPDATE webhook_endpoints SET previous_secret = secret",
    "a delivery that waits for nothing": "UPDATE webhook_deliveries SET next_attempt_at = NULL",
    "a delivery that is done and due": "UPDATE webhook_deliveries SET state = 'delivered'",
}


def test_rows_that_make_no_sense_are_refused(session, shop):
    for rule, statement in RULES.items():
        assert is_refused_by_the_database(session, statement), rule


def test_histories_are_only_ever_added_to(session, shop):
    for table in HISTORIES:
        for statement in (f"UPDATE {table} SET created_at = created_at", f"DELETE FROM {table}"):
            with pytest.raises(DBAPIError, match=f"{table} is append-only"), session.begin_nested():
                session.execute(text(statement))


TWICE = {
    "products": "seller_id, sku",
    "orders": "number",
    "order_lines": "order_id, product_id",
    "payments": "checkout_request_id",
    "reservations": "order_id, product_id",
    "stock_movements": "order_id, product_id, kind",
    "ledger_events": "kind, reference",
    "ledger_entries": "event_id, account",
    "mpesa_receipts": "receipt",
    "users": "email_key",
    "categories": "slug",
    "baskets": "user_id",
    "basket_lines": "basket_id, product_id",
    "refunds": "receipt, while one may still go",
    "payment_claims": "receipt, while one is undecided",
    "statement_lines": "receipt, details, amount_cents",
    "webhook_endpoints": "url, while it is in use",
    "webhook_events": "public_id",
    "webhook_deliveries": "endpoint_id, event_id",
}


def test_what_is_once_is_once(session, shop):
    session.execute(text("UPDATE products SET sku = 'SKU-1'"))
    for name, key in TWICE.items():
        table = Base.metadata.tables[name]
        columns = ", ".join(column.name for column in table.columns if column.name != "id")
        with pytest.raises(IntegrityError) as caught, session.begin_nested():
            session.execute(
                text(f"INSERT INTO {name} ({columns}) SELECT {columns} FROM {name} WHERE true")
            )
        assert "unique" in str(caught.value).lower(), (name, key)


def names_of_indexes(database) -> set[str]:
    """SQLAlchemy cannot read those of expressions back from SQLite."""
    known = (
        "SELECT name FROM sqlite_master WHERE type = 'index'"
        if database.is_sqlite
        else "SELECT indexname FROM pg_indexes"
    )
    with database.reading() as session:
        return set(session.scalars(text(known)))


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based")
def test_the_database_has_every_constraint_of_the_models(database):
    found = inspect(database.engine)
    indexes = names_of_indexes(database)
    for table in Base.metadata.sorted_tables:
        checks = {c["name"] for c in found.get_check_constraints(table.name)}
        uniques = {c["name"] for c in found.get_unique_constraints(table.name)}
        for constraint in table.constraints:
            if isinstance(constraint, CheckConstraint):
                assert constraint.name in checks, constraint.name
            if isinstance(constraint, UniqueConstraint):
                assert constraint.name in uniques, constraint.name
        assert {fk["name"] for fk in found.get_foreign_keys(table.name)} == {
            fk.name for fk in table.foreign_key_constraints
        }
        assert indexes >= {index.name for index in table.indexes}


def test_a_deleted_rows_id_is_never_given_again(session):
    first = make_buyer(session)
    number = first.id
    session.delete(first)
    session.flush()

    assert make_buyer(session).id == number + 1


def test_a_moment_has_a_zone_and_comes_back_in_utc(session):
    nairobi = timezone(timedelta(hours=3))
    user = make_buyer(session, created_at=datetime(2026, 11, 22, 12, 0, tzinfo=nairobi))
    session.expire_all()
    assert user.created_at == NOW
    assert user.created_at.tzinfo is UTC

    with pytest.raises(StatementError, match="needs a zone"), session.begin_nested():
        make_buyer(session, created_at=datetime(2026, 11, 22))  # noqa: DTZ001 - that is the point


def test_what_can_be_bought_now_is_what_nobody_was_promised(session):
    product = make_product(session, stock=5)
    buy(session, make_buyer(session), (product, 2))
    session.refresh(product)

    assert product.available == 3
