r"""Marks by which a process learns what was changed in the catalogue since it last looked.

`catalogue_marks` holds one row a product that was ever changed: who changed it last. Triggers
write it in the transaction of the change, so that a mark shows at the moment when the change does,
and never before. Whoever changes a product holds its row, and so waits for nobody to write its
mark: two orders of different products have nothing in common here.

PostgreSQL: `changed_by` is the transaction that changed the product last, and `moved_by` the last
one that may have moved it from one list or place in a list to another. A reader remembers the
snapshot of its last look and asks for the marks of transactions that it did not see then. That
finds a long transaction too, which began before the look and committed after it.

SQLite: one writes at a time, so numbers that grow say the same.

The row 0 stands for the categories: any change of one moves everything.

A later migration that makes `products` or `categories` anew on SQLite drops these triggers with
the old table: it has to make them again.
"""

from alembic import op

revision = "0020"
down_revision = "0015"
branch_labels = None
depends_on = None

MOVING = (
    *("name", "description", "sku", "price_cents", "category_id", "seller_id"),
    *("created_at", "deleted_at"),
)
"""What products are chosen and sorted by; the rest is only shown."""


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _make_sqlite()
    else:
        _make_postgresql()


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for name, _table, _moment, _work in _sqlite_triggers():
            op.execute(f"DROP TRIGGER {name}")
    else:
        for name, table, *_rest in _postgresql_triggers():
            op.execute(f"DROP TRIGGER {name} ON {table}")
        op.execute("DROP FUNCTION catalogue_mark()")
    op.execute("DROP TABLE catalogue_marks")


def _moved(old: str, new: str, differs: str) -> str:
    return " OR ".join(f"{old}.{column} {differs} {new}.{column}" for column in MOVING)


# SQLite


def _make_sqlite() -> None:
    op.execute(
        "CREATE TABLE catalogue_marks (product_id INTEGER PRIMARY KEY,"
        " changed_by INTEGER NOT NULL, moved_by INTEGER NOT NULL)"
    )
    op.execute(
        "CREATE UNIQUE INDEX ix_catalogue_marks_changed_by ON catalogue_marks (changed_by)"
    )
    for name, table, moment, work in _sqlite_triggers():
        head, _, condition = moment.partition(" WHEN ")
        when = f" WHEN {condition}" if condition else ""
        op.execute(f"CREATE TRIGGER {name} AFTER {head} ON {table}{when} BEGIN {work}; END")


def _sqlite_triggers() -> list[tuple[str, str, str, str]]:
    moved = f"UPDATE OF {', '.join(MOVING)} WHEN {_moved('old', 'new', 'IS NOT')}"
    return [
        ("products_mark_insert", "products", "INSERT", _put("new.id", moves=True)),
        ("products_mark_update", "products", "UPDATE", _put("new.id", moves=False)),
        ("products_mark_move", "products", moved, _put("new.id", moves=True)),
        ("products_mark_delete", "products", "DELETE", _put("old.id", moves=True)),
        ("categories_mark_insert", "categories", "INSERT", _put("0", moves=True)),
        ("categories_mark_update", "categories", "UPDATE", _put("0", moves=True)),
        ("categories_mark_delete", "categories", "DELETE", _put("0", moves=True)),
    ]


def _put(product_id: str, *, moves: bool) -> str:
    fresh = "(SELECT coalesce(max(changed_by), 0) + 1 FROM catalogue_marks)"
    moved = ", moved_by = excluded.moved_by" if moves else ""
    return (
        "INSERT INTO catalogue_marks (product_id, changed_by, moved_by)"
        f" VALUES ({product_id}, {fresh}, {fresh if moves else 0})"
        f" ON CONFLICT (product_id) DO UPDATE SET changed_by = excluded.changed_by{moved}"
    )


# PostgreSQL


def _make_postgresql() -> None:
    op.execute(
        "CREATE TABLE catalogue_marks (product_id bigint NOT NULL, changed_by bigint NOT NULL,"
        " moved_by bigint NOT NULL, CONSTRAINT pk_catalogue_marks PRIMARY KEY (product_id))"
    )
    op.execute("CREATE INDEX ix_catalogue_marks_changed_by ON catalogue_marks (changed_by)")
    op.execute(
        """
        CREATE FUNCTION catalogue_mark() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE
            marked bigint := 0;
            by_us bigint := pg_current_xact_id()::text::bigint;
            moves boolean := TG_ARGV[0] = 'moves';
        BEGIN
            IF TG_LEVEL = 'ROW' AND TG_TABLE_NAME = 'products' THEN
                marked := CASE WHEN TG_OP = 'DELETE' THEN OLD.id ELSE NEW.id END;
            END IF;
            INSERT INTO catalogue_marks AS known (product_id, changed_by, moved_by)
            VALUES (marked, by_us, CASE WHEN moves THEN by_us ELSE 0 END)
            ON CONFLICT (product_id) DO UPDATE SET changed_by = by_us,
                moved_by = CASE WHEN moves THEN by_us ELSE known.moved_by END;
            RETURN NULL;
        END $$
        """
    )
    for name, table, moment, level, condition, kind in _postgresql_triggers():
        op.execute(
            f"CREATE TRIGGER {name} AFTER {moment} ON {table} FOR EACH {level} {condition}"
            f" EXECUTE FUNCTION catalogue_mark('{kind}')"
        )
        # Also where a session has switched ordinary triggers off, as replication does.
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")


def _postgresql_triggers() -> list[tuple[str, str, str, str, str, str]]:
    moved = f"WHEN ({_moved('OLD', 'NEW', 'IS DISTINCT FROM')})"
    moving = f"UPDATE OF {', '.join(MOVING)}"
    return [
        ("products_mark", "products", "INSERT OR DELETE", "ROW", "", "moves"),
        ("products_mark_change", "products", "UPDATE", "ROW", "", "changes"),
        ("products_mark_move", "products", moving, "ROW", moved, "moves"),
        ("products_mark_all", "products", "TRUNCATE", "STATEMENT", "", "moves"),
        (
            *("categories_mark", "categories", "INSERT OR UPDATE OR DELETE OR TRUNCATE"),
            *("STATEMENT", "", "moves"),
        ),
    ]
