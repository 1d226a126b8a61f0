r"""Full-text search, kept in step by the database itself.

Whatever writes a product writes the index with it: triggers do, on both databases, and only where
a column that is searched changes, so that the sale of a product costs nothing here. Beside its
words a product carries two labels, its category's id and its seller's, which no person can type.
A category that is renamed or moved therefore leaves the entries of its products as they are.

SQLite: two FTS5 tables that keep no copy of the text, `search_texts` (everything) and
`search_names` (name and SKU), and the words of all in the order in which they were first seen.
PostgreSQL: one row a product in `search_products`, so that a product that is sold is not indexed
anew; a word of the name or SKU stands there twice, as itself and with "=" in front. The database
has to be in UTF-8. Both take the accents off Latin letters alone.

`search_spellings` leads from a word with up to two letters left out to the words of names that may
be meant. It is never cleared: whether a word still finds anything is asked of the index.

A later migration that makes `products` anew on SQLite drops these triggers with the old table: it
has to make them again.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SEARCHED = ("name", "description", "sku", "category_id", "seller_id", "deleted_at")
LABEL = 0xE000  # a letter of no alphabet: SQLite keeps it in words, and no name may hold it
SHORTEST, LONGEST = 3, 30  # of the words that are offered for a misspelt one
PREFIX = 7  # only so many first letters are misspelt
LONGEST_INDEXED = 60  # PostgreSQL refuses endless words

# What stands between words; app/services/search/words.py says the same.
GAPS = (
    r"[\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00a9\u00ab-\u00b1\u00b4\u00b6-\u00b8"
    r"\u00bb\u00bf\u00d7\u00f7\u2000-\u206f\u20a0-\u20ff\u2190-\u245f\u2500-\u2bff\u3000-\u3004"
    r"\u3008-\u3020\ue000-\uf8ff\ufe00-\ufe6f\ufeff-\uff0f\ufff0-\uffff\U0001f000-\U0001faff"
    r"\U000e0000-\U000e0fff]+"
)
_PLACES = " UNION ALL ".join(f"SELECT {place} AS n" for place in range(1, PREFIX + 3))
_FIRST = f"substr(fresh.term, 1, {PREFIX})"

# Two places are left out of a word's first letters; a place behind the last leaves nothing out,
# and short words lose one letter at most.
_SPELLINGS = f"""
    SELECT DISTINCT substr({_FIRST}, 1, a.n - 1) || substr({_FIRST}, a.n + 1, b.n - a.n - 1)
        || substr({_FIRST}, b.n + 1), fresh.term
    FROM ({{fresh}}) AS fresh
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
        _make_sqlite_tables()
        _make_sqlite_triggers()
        _fill_sqlite()
    else:
        _make_postgresql_tables()
        _make_postgresql_triggers()
        _fill_postgresql()


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for moment in ("insert", "update", "delete"):
            op.execute(f"DROP TRIGGER products_search_{moment}")
        tables = ("search_tray_words", "search_tray", "search_words", "search_names")
        for table in (*tables, "search_texts", "search_spellings"):
            op.execute(f"DROP TABLE {table}")
        return
    op.execute("DROP TRIGGER products_search_insert ON products")
    op.execute("DROP TRIGGER products_search_update ON products")
    op.execute("DROP FUNCTION search_index_product()")
    op.execute("DROP FUNCTION search_learn_words(text)")
    op.execute("DROP FUNCTION search_document(text, text, text, bigint, bigint)")
    op.execute("DROP FUNCTION search_words_of(text)")
    op.execute("DROP TABLE search_products")
    op.execute("DROP TABLE search_spellings")


# SQLite


def _make_sqlite_tables() -> None:
    words = "content = '', tokenize = 'unicode61 remove_diacritics 2'"
    op.execute(f"CREATE VIRTUAL TABLE search_texts USING fts5(document, {words})")
    op.execute(f"CREATE VIRTUAL TABLE search_names USING fts5(document, {words})")
    # The tray is where a product that is being written is taken apart into its words.
    op.execute(f"CREATE VIRTUAL TABLE search_tray USING fts5(name, rest, {words})")
    op.execute("CREATE VIRTUAL TABLE search_tray_words USING fts5vocab(search_tray, col)")
    op.execute("CREATE TABLE search_words (id INTEGER PRIMARY KEY, word TEXT NOT NULL)")
    op.execute("CREATE UNIQUE INDEX ix_search_words_word ON search_words (word)")
    op.execute(
        "CREATE TABLE search_spellings (spelling TEXT NOT NULL, word TEXT NOT NULL,"
        " CONSTRAINT pk_search_spellings PRIMARY KEY (spelling, word)) WITHOUT ROWID"
    )


def _make_sqlite_triggers() -> None:
    changed = " OR ".join(f"old.{column} IS NOT new.{column}" for column in SEARCHED)
    take = (
        "INSERT INTO search_texts (search_texts, rowid, document)"
        f" SELECT 'delete', old.id, {_text('old.')} WHERE old.deleted_at IS NULL;"
        "INSERT INTO search_names (search_names, rowid, document)"
        f" SELECT 'delete', old.id, {_name('old.')} WHERE old.deleted_at IS NULL;"
    )
    put = (
        "INSERT INTO search_texts (rowid, document)"
        f" SELECT new.id, {_text('new.')} WHERE new.deleted_at IS NULL;"
        "INSERT INTO search_names (rowid, document)"
        f" SELECT new.id, {_name('new.')} WHERE new.deleted_at IS NULL;"
        "INSERT INTO search_tray (search_tray) VALUES ('delete-all');"
        "INSERT INTO search_tray (rowid, name, rest)"
        f" SELECT 1, new.name, {_rest('new.')} WHERE new.deleted_at IS NULL;"
        f"{_learn_words()}; {_learn_spellings()};"
    )
    op.execute(
        f"CREATE TRIGGER products_search_insert AFTER INSERT ON products BEGIN {put} END"
    )
    op.execute(
        f"CREATE TRIGGER products_search_update AFTER UPDATE OF {', '.join(SEARCHED)} ON products"
        f" WHEN {changed} BEGIN {take} {put} END"
    )
    op.execute(
        f"CREATE TRIGGER products_search_delete AFTER DELETE ON products BEGIN {take} END"
    )


def _fill_sqlite() -> None:
    sources = (
        ("search_texts (rowid, document)", _text("")),
        ("search_names (rowid, document)", _name("")),
        ("search_tray (rowid, name, rest)", f"name, {_rest('')}"),
    )
    for target, columns in sources:
        op.execute(
            f"INSERT INTO {target} SELECT id, {columns} FROM products WHERE deleted_at IS NULL"
        )
    op.execute(_learn_words())
    op.execute(_learn_spellings())
    op.execute("INSERT INTO search_tray (search_tray) VALUES ('delete-all')")


def _text(row: str) -> str:
    return f"{row}name || ' ' || {_rest(row)} || {_labels(row)}"


def _name(row: str) -> str:
    return f"{row}name || ' ' || coalesce({row}sku, '') || {_labels(row)}"


def _rest(row: str) -> str:
    return f"coalesce({row}sku, '') || ' ' || {row}description"


def _labels(row: str) -> str:
    return (
        f"' ' || char({LABEL}) || 'c' || coalesce({row}category_id, 0)"
        f" || ' ' || char({LABEL}) || 's' || {row}seller_id"
    )


def _learn_words() -> str:
    return (
        "INSERT INTO search_words (word) SELECT DISTINCT term FROM search_tray_words"
        " WHERE NOT EXISTS (SELECT 1 FROM search_words AS known WHERE known.word = term)"
    )


def _learn_spellings() -> str:
    names = "SELECT term FROM search_tray_words WHERE col = 'name' AND term NOT GLOB '*[0-9]*'"
    return f"INSERT OR IGNORE INTO search_spellings {_SPELLINGS.format(fresh=names)}"


# PostgreSQL


def _make_postgresql_tables() -> None:
    op.execute(
        "CREATE TABLE search_products (product_id bigint NOT NULL, document tsvector NOT NULL,"
        " CONSTRAINT pk_search_products PRIMARY KEY (product_id),"
        " CONSTRAINT fk_search_products_product_id_products"
        " FOREIGN KEY (product_id) REFERENCES products (id) ON DELETE CASCADE)"
    )
    # No key: of two that learn the same word at once, neither waits for the other's end.
    op.execute("CREATE TABLE search_spellings (spelling text NOT NULL, word text NOT NULL)")
    op.execute(
        "CREATE INDEX ix_search_spellings_spelling_word ON search_spellings (spelling, word)"
    )


def _make_postgresql_triggers() -> None:
    op.execute(
        rf"""
        CREATE FUNCTION search_words_of(value text) RETURNS text[]
        LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
            SELECT coalesce(array_agg(DISTINCT left(word, {LONGEST_INDEXED})), '{{}}')
            FROM regexp_split_to_table(lower(normalize(regexp_replace(
                normalize(value, NFD), '([A-Za-z])[\u0300-\u036f]+', '\1', 'g'
            ), NFC)), '{GAPS}') AS word
            WHERE word <> ''
        $$
        """
    )
    op.execute(
        f"""
        CREATE FUNCTION search_document(
            name text, sku text, description text, category_id bigint, seller_id bigint
        ) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
            SELECT array_to_tsvector(
                search_words_of(concat_ws(' ', name, sku, description))
                || ARRAY(SELECT '=' || word FROM unnest(
                    search_words_of(concat_ws(' ', name, sku))) AS word)
                || ARRAY[chr({LABEL}) || 'c' || coalesce(category_id, 0),
                    chr({LABEL}) || 's' || seller_id]
            )
        $$
        """
    )
    names = "SELECT term FROM unnest(search_words_of(name)) AS term WHERE term !~ '[0-9]'"
    op.execute(
        f"""
        CREATE FUNCTION search_learn_words(name text) RETURNS void LANGUAGE sql AS $$
            INSERT INTO search_spellings {_SPELLINGS.format(fresh=names)}
        $$
        """
    )
    op.execute(
        """
        CREATE FUNCTION search_index_product() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.deleted_at IS NOT NULL THEN
                DELETE FROM search_products WHERE product_id = NEW.id;
            ELSE
                INSERT INTO search_products VALUES (NEW.id, search_document(
                    NEW.name, NEW.sku, NEW.description, NEW.category_id, NEW.seller_id))
                ON CONFLICT (product_id) DO UPDATE SET document = excluded.document;
                PERFORM search_learn_words(NEW.name);
            END IF;
            RETURN NULL;
        END $$
        """
    )
    changed = " OR ".join(f"OLD.{column} IS DISTINCT FROM NEW.{column}" for column in SEARCHED)
    op.execute(
        "CREATE TRIGGER products_search_insert AFTER INSERT ON products"
        " FOR EACH ROW EXECUTE FUNCTION search_index_product()"
    )
    op.execute(
        f"CREATE TRIGGER products_search_update AFTER UPDATE OF {', '.join(SEARCHED)} ON products"
        f" FOR EACH ROW WHEN ({changed}) EXECUTE FUNCTION search_index_product()"
    )


def _fill_postgresql() -> None:
    op.execute(
        "INSERT INTO search_products SELECT id, search_document(name, sku, description,"
        " category_id, seller_id) FROM products WHERE deleted_at IS NULL"
    )
    # Of a million products it is made several times as fast in one go. Without fastupdate a search
    # never has to read through what is yet to be indexed.
    op.execute(
        "CREATE INDEX ix_search_products_document ON search_products"
        " USING gin (document) WITH (fastupdate = off)"
    )
    names = (
        "SELECT DISTINCT term FROM products, unnest(search_words_of(name)) AS term"
        " WHERE deleted_at IS NULL AND term !~ '[0-9]'"
    )
    op.execute(f"INSERT INTO search_spellings {_SPELLINGS.format(fresh=names)}")
