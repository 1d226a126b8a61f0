"""A product's price stands as labels in the search's index, so that it narrows a search there.

What a filter leaves out would otherwise have to be found first: of "shoe, below 200" among a
million products ten thousand shoes were looked at to show two hundred. A price has three labels,
from coarse to fine: how many digits it has, the first of them, and the first two. Any range is
made of a few dozen of these; app/services/search/labels.py says which.

A change of price writes the index only where its labels change. Sales still write nothing there.

On PostgreSQL the new index is made beside the old one: who searches waits for nothing. Who writes
products waits, as with any migration that indexes them.

A later migration that makes `products` anew on SQLite drops these triggers with the old table: it
has to make them again.
"""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

SEARCHED = ("name", "description", "sku", "category_id", "seller_id", "deleted_at")
LABEL = 0xE000  # as in 0005, like all that follows and is not about prices
SHORTEST, LONGEST = 3, 30
PREFIX = 7
_PLACES = " UNION ALL ".join(f"SELECT {place} AS n" for place in range(1, PREFIX + 3))
_FIRST = f"substr(fresh.term, 1, {PREFIX})"
_SPELLINGS = f"""
    SELECT DISTINCT substr({_FIRST}, 1, a.n - 1) || substr({_FIRST}, a.n + 1, b.n - a.n - 1)
        || substr({_FIRST}, b.n + 1), fresh.term
    FROM (SELECT term FROM search_tray_words WHERE col = 'name' AND term NOT GLOB '*[0-9]*')
        AS fresh
    CROSS JOIN ({_PLACES}) AS a JOIN ({_PLACES}) AS b ON a.n < b.n
    WHERE length(fresh.term) BETWEEN {SHORTEST} AND {LONGEST}
        AND (length(fresh.term) > 5 OR b.n > length({_FIRST}))
        AND NOT EXISTS (
            SELECT 1 FROM search_spellings AS known
            WHERE known.spelling = {_FIRST} AND known.word = fresh.term
        )
"""


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _remake_sqlite(with_prices=True)
    else:
        _remake_postgresql(with_prices=True)


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _remake_sqlite(with_prices=False)
    else:
        _remake_postgresql(with_prices=False)


# SQLite


def _remake_sqlite(*, with_prices: bool) -> None:
    for moment in ("insert", "update", "delete"):
        op.execute(f"DROP TRIGGER products_search_{moment}")
    _make_sqlite_triggers(with_prices=with_prices)
    for table, document in (("search_texts", _text), ("search_names", _name)):
        op.execute(f"INSERT INTO {table} ({table}) VALUES ('delete-all')")
        op.execute(
            f"INSERT INTO {table} (rowid, document)"
            f" SELECT id, {document('', with_prices)} FROM products WHERE deleted_at IS NULL"
        )


def _make_sqlite_triggers(*, with_prices: bool) -> None:
    columns = (*SEARCHED, "price_cents") if with_prices else SEARCHED
    changes = [f"old.{column} IS NOT new.{column}" for column in SEARCHED]
    if with_prices:
        changes += [
            "length(old.price_cents) <> length(new.price_cents)",
            "substr(old.price_cents, 1, 2) <> substr(new.price_cents, 1, 2)",
        ]
    take = "".join(
        f"INSERT INTO {table} ({table}, rowid, document)"
        f" SELECT 'delete', old.id, {document('old.', with_prices)} WHERE old.deleted_at IS NULL;"
        for table, document in (("search_texts", _text), ("search_names", _name))
    )
    put = "".join(
        f"INSERT INTO {table} (rowid, document)"
        f" SELECT new.id, {document('new.', with_prices)} WHERE new.deleted_at IS NULL;"
        for table, document in (("search_texts", _text), ("search_names", _name))
    )
    learn = (
        "INSERT INTO search_tray (search_tray) VALUES ('delete-all');"
        "INSERT INTO search_tray (rowid, name, rest)"
        f" SELECT 1, new.name, {_rest('new.')} WHERE new.deleted_at IS NULL;"
        "INSERT INTO search_words (word) SELECT DISTINCT term FROM search_tray_words"
        " WHERE NOT EXISTS (SELECT 1 FROM search_words AS known WHERE known.word = term);"
        f"INSERT OR IGNORE INTO search_spellings {_SPELLINGS};"
    )
    op.execute(
        f"CREATE TRIGGER products_search_insert AFTER INSERT ON products BEGIN {put} {learn} END"
    )
    op.execute(
        f"CREATE TRIGGER products_search_update AFTER UPDATE OF {', '.join(columns)} ON products"
        f" WHEN {' OR '.join(changes)} BEGIN {take} {put} {learn} END"
    )
    op.execute(
        f"CREATE TRIGGER products_search_delete AFTER DELETE ON products BEGIN {take} END"
    )


def _text(row: str, with_prices: bool) -> str:
    return f"{row}name || ' ' || {_rest(row)} || {_labels(row, with_prices)}"


def _name(row: str, with_prices: bool) -> str:
    return f"{row}name || ' ' || coalesce({row}sku, '') || {_labels(row, with_prices)}"


def _rest(row: str) -> str:
    return f"coalesce({row}sku, '') || ' ' || {row}description"


def _labels(row: str, with_prices: bool) -> str:
    labels = [f"'c' || coalesce({row}category_id, 0)", f"'s' || {row}seller_id"]
    if with_prices:
        digits = f"'p' || length({row}price_cents)"
        labels += [digits] + [f"{digits} || 'd' || substr({row}price_cents, 1, {n})" for n in (1, 2)]
    return " || ".join(f"' ' || char({LABEL}) || {label}" for label in labels)


# PostgreSQL


def _remake_postgresql(*, with_prices: bool) -> None:
    # Nobody writes a product until this is done: a change would be missing in the new index.
    op.execute("LOCK TABLE products IN SHARE ROW EXCLUSIVE MODE")
    op.execute("DROP TRIGGER products_search_insert ON products")
    op.execute("DROP TRIGGER products_search_update ON products")
    op.execute("DROP FUNCTION search_index_product()")
    before = "bigint, bigint" if with_prices else "bigint, bigint, bigint"
    op.execute(f"DROP FUNCTION search_document(text, text, text, {before})")
    _make_postgresql_functions(with_prices=with_prices)
    _make_postgresql_triggers(with_prices=with_prices)
    _refill_postgresql(with_prices=with_prices)


def _make_postgresql_functions(*, with_prices: bool) -> None:
    labels = ["'c' || coalesce(category_id, 0)", "'s' || seller_id"]
    if with_prices:
        digits = "'p' || length(price_cents::text)"
        labels += [digits] + [f"{digits} || 'd' || left(price_cents::text, {n})" for n in (1, 2)]
    labelled = ", ".join(f"chr({LABEL}) || {label}" for label in labels)
    price = ", price_cents bigint" if with_prices else ""
    op.execute(
        f"""
        CREATE FUNCTION search_document(
            name text, sku text, description text, category_id bigint, seller_id bigint{price}
        ) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
            SELECT array_to_tsvector(
                search_words_of(concat_ws(' ', name, sku, description))
                || ARRAY(SELECT '=' || word FROM unnest(
                    search_words_of(concat_ws(' ', name, sku))) AS word)
                || ARRAY[{labelled}]
            )
        $$
        """
    )
    op.execute(
        f"""
        CREATE FUNCTION search_index_product() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.deleted_at IS NOT NULL THEN
                DELETE FROM search_products WHERE product_id = NEW.id;
            ELSE
                INSERT INTO search_products VALUES (NEW.id, {_document("NEW.", with_prices)})
                ON CONFLICT (product_id) DO UPDATE SET document = excluded.document;
                PERFORM search_learn_words(NEW.name);
            END IF;
            RETURN NULL;
        END $$
        """
    )


def _make_postgresql_triggers(*, with_prices: bool) -> None:
    columns = (*SEARCHED, "price_cents") if with_prices else SEARCHED
    changes = [f"OLD.{column} IS DISTINCT FROM NEW.{column}" for column in SEARCHED]
    if with_prices:
        changes += [
            "length(OLD.price_cents::text) <> length(NEW.price_cents::text)",
            "left(OLD.price_cents::text, 2) <> left(NEW.price_cents::text, 2)",
        ]
    op.execute(
        "CREATE TRIGGER products_search_insert AFTER INSERT ON products"
        " FOR EACH ROW EXECUTE FUNCTION search_index_product()"
    )
    op.execute(
        f"CREATE TRIGGER products_search_update AFTER UPDATE OF {', '.join(columns)} ON products"
        f" FOR EACH ROW WHEN ({' OR '.join(changes)}) EXECUTE FUNCTION search_index_product()"
    )


def _refill_postgresql(*, with_prices: bool) -> None:
    op.execute(
        "CREATE TABLE search_products_new (product_id bigint NOT NULL, document tsvector NOT NULL)"
    )
    op.execute(
        f"INSERT INTO search_products_new SELECT id, {_document('', with_prices)}"
        " FROM products WHERE deleted_at IS NULL"
    )
    op.execute(
        "CREATE INDEX ix_search_products_new_document ON search_products_new"
        " USING gin (document) WITH (fastupdate = off)"
    )
    op.execute(
        "ALTER TABLE search_products_new"
        " ADD CONSTRAINT pk_search_products_new PRIMARY KEY (product_id),"
        " ADD CONSTRAINT fk_search_products_product_id_products"
        " FOREIGN KEY (product_id) REFERENCES products (id) ON DELETE CASCADE"
    )
    op.execute("DROP TABLE search_products")
    op.execute("ALTER TABLE search_products_new RENAME TO search_products")
    op.execute("ALTER INDEX ix_search_products_new_document RENAME TO ix_search_products_document")
    op.execute("ALTER INDEX pk_search_products_new RENAME TO pk_search_products")
    op.execute("ANALYZE search_products")


def _document(row: str, with_prices: bool) -> str:
    columns = ["name", "sku", "description", "category_id", "seller_id"]
    columns += ["price_cents"] if with_prices else []
    return f"search_document({', '.join(row + column for column in columns)})"
