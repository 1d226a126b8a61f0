"""Files of products against a shop: what is made, changed, refused and left alone."""

import csv
import io
from threading import Barrier, Thread

import pytest
from sqlalchemy import select

from app.db import in_transaction
from app.errors import Forbidden, InvalidInput
from app.jobs import import_products as module
from app.jobs.export_products import export_products
from app.jobs.import_products import ImportRules, import_products
from app.models import Category, Product, StockMovement, User
from app.policies import Role
from app.schemas.catalogue_csv import read_row
from app.services.catalogue_csv import ExportRequest
from app.services.catalogue_csv.export import PAGE
from app.services.search import SearchAsk, search_products
from tests.core import database_snapshot, differing_tables
from tests.factories import NOW, actor_of, make_category, make_product, make_user

TOO_MANY_CELLS = (
    'This row has 8 cells and the header 7. Put quotation marks (") around a cell that holds the'
    " separator."
)


@pytest.fixture
def seller(database):
    with database.transaction() as session:
        return actor_of(make_user(session, Role.SELLER))


@pytest.fixture
def admin(database):
    with database.transaction() as session:
        return actor_of(make_user(session, Role.ADMIN))


@pytest.fixture
def take_in(work):
    def take_in(actor, data, read_row=read_row, **rules):
        file = io.BytesIO(data if isinstance(data, bytes) else data.encode())
        return import_products(work, actor, file, read_row, ImportRules(**rules))

    return take_in


def exported(work, actor, **options) -> bytes:
    return b"".join(export_products(work, ExportRequest.of(actor, **options)))


def counts(report) -> tuple:
    """(created, updated, unchanged, skipped, failed), which make up all rows."""
    found = (report.created, report.updated, report.unchanged, report.skipped, report.failed)
    assert report.rows == sum(found)
    return found


def faults(report) -> list[tuple]:
    return [(fault.row, fault.column, fault.value, fault.message) for fault in report.errors]


def products(database) -> list[tuple]:
    with database.reading() as session:
        columns = (Product.sku, Product.name, Product.price_cents, Product.on_hand)
        return [tuple(row) for row in session.execute(select(*columns).order_by(Product.id))]


def movements(database) -> list[tuple]:
    with database.reading() as session:
        columns = (StockMovement.kind, StockMovement.on_hand_delta, StockMovement.actor_id)
        return [tuple(row) for row in session.execute(select(*columns).order_by(StockMovement.id))]


def test_rows_make_and_change_products_and_a_second_time_nothing(database, seller, take_in):
    with database.transaction() as session:
        boots = make_category(session, "Boots", make_category(session, "Shoes"))
        make_product(session, sku="B-1", name="Another seller's")
    sheet = (
        "sku,name,price,stock,category,description,low_stock_threshold\n"
        f"B-1,Boot,1499.50,5,{boots.slug},Warm,2\n"
        'B-2,Hat,"KSh 1,200",,shoes > BOOTS,,\n'
    )
    report = take_in(seller, sheet)
    assert (report.format, report.dry_run, report.warnings) == ("sokoni", False, [])
    assert counts(report) == (2, 0, 0, 0, 0)
    made = [("B-1", "Boot", 149_950, 5), ("B-2", "Hat", 120_000, 0)]
    assert products(database)[1:] == made
    assert movements(database)[1:] == [("receipt", 5, seller.user_id)]
    with database.reading() as session:
        rows = session.scalars(select(Product).order_by(Product.id)).all()[1:]
        assert [row.category_id for row in rows] == [boots.id, boots.id]
        assert [row.low_stock_threshold for row in rows] == [2, None]
        assert {row.seller_id for row in rows} == {seller.user_id}

    before = database_snapshot(database)
    assert counts(take_in(seller, sheet)) == (0, 0, 2, 0, 0)
    assert database_snapshot(database) == before

    report = take_in(seller, "sku,stock\nB-1,3\nB-2,\nB-3,4\n")
    assert counts(report) == (0, 1, 1, 0, 1)
    assert faults(report) == [
        (4, "name", "", "No product is there to change, and a new one needs a name.")
    ]
    assert products(database)[1:] == [("B-1", "Boot", 149_950, 3), made[1]]
    assert movements(database)[2:] == [("adjustment", -2, seller.user_id)]


def test_a_dry_run_says_the_same_and_changes_nothing(database, admin, take_in):
    with database.transaction() as session:
        make_product(session, sku="A")
    sheet = "sku,name,price,stock,category\nA,Boot,5,1,New > Boots\nB,Hat,x,1,\n,Cap,7,2,New\n"
    before = database_snapshot(database)
    tried = take_in(admin, sheet, dry_run=True, category_maker=admin)
    assert database_snapshot(database) == before
    done = take_in(admin, sheet, category_maker=admin)
    assert counts(tried) == counts(done) == (2, 0, 0, 0, 1)
    assert faults(tried) == faults(done)
    assert tried.warnings == done.warnings
    assert [warning.reason for warning in done.warnings] == [
        "1 rows have neither an id nor a SKU: imported once more, they would be created once more."
    ]
    with database.reading() as session:
        top, below = session.scalars(select(Category).order_by(Category.id))
        assert (top.name, below.name, below.parent_id) == ("New", "Boots", top.id)


def test_each_bad_row_is_named_and_the_good_ones_are_kept(database, seller, admin, take_in):
    with database.transaction() as session:
        stranger = make_user(session, Role.SELLER, username="mwingine")
        theirs = make_product(session, stranger, name="Theirs")
        owner = session.get_one(User, seller.user_id)
        mine = make_product(session, owner, name="Mine", sku="M", stock=0)
        taken = make_product(session, owner, name="Taken", sku="T", stock=0)
        for _ in range(2):
            make_category(session, "Twice")
        twice = session.scalars(select(Category.slug).order_by(Category.slug)).all()
    sheet = (
        "id,sku,name,price,stock,category,seller\n"
        f"{theirs.id},,Stolen,1,0,,\n"
        "999999,,Nobody's,1,0,,\n"
        ",G-1,Good,1,1,,\n"
        ",,,1,1,,\n"
        ",G-2,No such,1,1,Nowhere,\n"
        ",G-3,Which,1,1,Twice,\n"
        ",G-1,Again,1,1,,\n"
        f"{mine.id},T,Mine,1,0,,\n"
        f"{mine.id},M2,Mine,1,0,,\n"
        ",G-4,Other,1,1,,mwingine\n"
        f",G-5,Own,1,1,,{seller.username.upper()}\n"
        ",G-6,Long,1,1,,,surplus\n"
    )
    report = take_in(seller, sheet)
    assert counts(report) == (2, 0, 0, 0, 10)
    assert faults(report) == [
        (2, "id", str(theirs.id), "None of your products has this id."),
        (3, "id", "999999", "None of your products has this id."),
        (5, "name", "", "No product is there to change, and a new one needs a name."),
        (
            *(6, "category", "Nowhere"),
            "There is no category “Nowhere”. GET /api/categories lists them.",
        ),
        (
            *(7, "category", "Twice"),
            f"Several categories are called that: use {', '.join(twice)}.",
        ),
        (8, "sku", "G-1", "Row 4 is about the same product: this one was left out."),
        (9, "sku", "T", "Another product has this SKU."),
        (10, "id", str(mine.id), "Row 9 is about the same product: this one was left out."),
        (11, "seller", "mwingine", "Only an administrator imports for somebody else."),
        (13, None, None, TOO_MANY_CELLS),
    ]
    assert [row[:2] for row in products(database)] == [
        (None, "Theirs"),
        ("M", "Mine"),
        (taken.sku, "Taken"),
        ("G-1", "Good"),
        ("G-5", "Own"),
    ]


def test_what_only_the_database_knows_costs_one_row_and_not_its_neighbours(
    database, seller, take_in
):
    with database.transaction() as session:
        owner = session.get_one(User, seller.user_id)
        make_product(session, owner, sku="GONE", deleted_at=NOW, stock=0)
        for sku in ("B", "A"):
            make_product(session, owner, sku=sku, stock=1, reserved=1)
    report = take_in(
        seller,
        "sku,name,price,stock\nN-1,New,5,1\nGONE,Late,5,1\nN-2,New,5,2\n"
        "A,Coat,7,1\nB,Hat,7,1000000000\n",
    )
    assert counts(report) == (2, 1, 0, 0, 2)
    assert faults(report) == [
        (3, "sku", "GONE", "Another product has this SKU."),
        (6, "stock", "1000000000", "Stock is 0 to 999999999 for this product."),
    ]
    assert [(sku, on_hand) for sku, _, _, on_hand in products(database)] == [
        ("GONE", 0),
        ("B", 1),
        ("A", 2),
        ("N-1", 1),
        ("N-2", 2),
    ]


def test_an_administrator_imports_for_sellers_and_a_product_stays_with_its_own(
    database, admin, seller, take_in
):
    with database.transaction() as session:
        customer = make_user(session)
        other = make_user(session, Role.SELLER)
    report = take_in(
        admin,
        "sku,name,price,stock,seller\n"
        f"A,Theirs,5,2,{seller.username}\nA,Own,6,0,\nA,Nobody's,7,0,nobody\n"
        f"B,Buyer's,7,0,{customer.username}\n",
    )
    assert counts(report) == (2, 0, 0, 0, 2)
    assert {message for *_, message in faults(report)} == {"There is no seller of this name."}
    with database.reading() as session:
        rows = session.execute(select(Product.id, Product.name, Product.seller_id)).all()
    assert sorted(row[1:] for row in rows) == [("Own", admin.user_id), ("Theirs", seller.user_id)]
    assert movements(database) == [("receipt", 2, admin.user_id)]

    theirs = next(row.id for row in rows if row.name == "Theirs")
    report = take_in(
        admin,
        "id,name,price,seller\n" + f"{theirs},Renamed,5,{other.username}\n",
    )
    assert faults(report) == [(2, "seller", other.username, "A product stays with its seller.")]
    report = take_in(admin, f"id,name,price,seller\n{theirs},Renamed,5,{seller.username}\n")
    assert counts(report) == (0, 1, 0, 0, 0)


def test_who_sells_nothing_imports_nothing(database, seller, take_in):
    with database.transaction() as session:
        customer = actor_of(make_user(session))
    before = database_snapshot(database)
    for actor, rules in ((customer, {}), (seller, {"category_maker": seller})):
        with pytest.raises(Forbidden):
            take_in(actor, "sku,name,price\nA,Boot,5\n", **rules)
    with pytest.raises(InvalidInput):
        take_in(seller, b"sku,name,price\n" + b"A%d,Boot,5\n" * 300 + b'B,"Boot,5\n')
    assert database_snapshot(database) == before


NASTY = (
    "=1+1",
    "'=1+1",
    "+254712345678",
    "-5",
    "@SUM(A1)",
    "\uff1dcmd",
    "'",
    'a "quoted", name; in parts',
    "Ünïcode 🎉",
    "'''-x",
    "1,499.50",
    "NULL",
)


def test_attack_65_what_was_exported_changes_nothing_when_it_is_imported(
    database, work, seller, admin, take_in
):
    with database.transaction() as session:
        owner = session.get_one(User, seller.user_id)
        category = make_category(session, "Shoes")
        for number, text in enumerate(NASTY):
            make_product(
                session,
                owner,
                name=text,
                sku=f"{text[:20]}{number}" if number % 3 else None,
                description=f"{text}\n={text}" if number % 2 else "",
                price_cents=1 + number * 99_999,
                stock=number,
                reserved=number // 2,
                category_id=category.id if number % 2 else None,
                image_url="/media/x.webp" if number % 4 else None,
                low_stock_threshold=number if number % 5 else None,
            )
        make_product(session, name="Somebody else's")
        make_product(session, owner, name="Gone", deleted_at=NOW)
    before = database_snapshot(database)
    for actor, rows in ((seller, len(NASTY)), (admin, len(NASTY) + 1)):
        data = exported(work, actor)
        table = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
        assert len(table) == rows
        assert ("seller" in table[0]) == actor.is_admin
        assert [
            cell for row in table for cell in row.values() if cell[:1] in set("=+-@\uff1d")
        ] == []
        assert counts(take_in(actor, data)) == (0, 0, rows, 0, 0)
        assert data in (exported(work, actor), exported(work, actor, excel=True)[3:])
    assert database_snapshot(database) == before
    # The same rows without their ids, in an empty shop: each text arrives as it was.
    with database.transaction() as session:
        newcomer = actor_of(make_user(session, Role.SELLER))
    moved = io.StringIO()
    names = ("name", "description", "price", "stock")
    writer = csv.DictWriter(moved, names, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(csv.DictReader(io.StringIO(exported(work, seller).decode(), newline="")))
    assert counts(take_in(newcomer, moved.getvalue())) == (len(NASTY), 0, 0, 0, 0)
    with database.reading() as session:
        found = session.scalars(select(Product.name).where(Product.seller_id == newcomer.user_id))
        assert sorted(found) == sorted(NASTY)


def test_an_export_of_many_pages_has_every_product_once(database, work, seller):
    with database.transaction() as session:
        session.add_all(
            Product(
                seller_id=seller.user_id,
                name=f"Product {number}",
                price_cents=100,
                created_at=NOW,
                updated_at=NOW,
            )
            for number in range(PAGE + 1)
        )
    pieces = list(export_products(work, ExportRequest.of(seller)))
    assert [piece.count(b"\r\n") for piece in pieces] == [PAGE + 1, 1, 0]
    lines = b"".join(pieces).decode().split("\r\n")
    assert lines[1].split(",")[2:6] == ['"Product 0"', '""', '"1.00"', '"0"']
    assert len(set(lines[1:-1])) == PAGE + 1


def test_an_import_that_was_killed_is_finished_by_running_it_again(
    database, seller, take_in, monkeypatch
):
    monkeypatch.setattr(module, "BATCH", 10)
    sheet = "sku,name,price,stock\n" + "".join(f"S-{n},Thing {n},5,{n + 1}\n" for n in range(35))

    def dies_at_row_25(line):
        assert not in_transaction()  # nothing is read while rows are locked
        if line.row == 25:
            raise KeyboardInterrupt
        return read_row(line)

    with pytest.raises(KeyboardInterrupt):
        take_in(seller, sheet, dies_at_row_25)
    assert [(sku, on_hand) for sku, _, _, on_hand in products(database)] == [
        (f"S-{n}", n + 1) for n in range(20)
    ]
    assert len(movements(database)) == 20

    assert counts(take_in(seller, sheet)) == (15, 0, 20, 0, 0)
    assert [row[3] for row in products(database)] == [n + 1 for n in range(35)]
    assert len(movements(database)) == 35


def test_two_imports_of_one_file_at_once_make_each_product_once(database, work, seller):
    rows = [f"S-{n},Thing {n},5,3\n" for n in range(60)]
    sheets = ["".join(rows), "".join(reversed(rows))] * 2
    barrier, reports, errors = Barrier(4), [], []

    def run(sheet):
        barrier.wait()
        try:
            file = io.BytesIO(f"sku,name,price,stock\n{sheet}".encode())
            reports.append(import_products(work, seller, file, read_row, ImportRules()))
        except Exception as error:  # noqa: BLE001 - collected and asserted below
            errors.append(error)

    threads = [Thread(target=run, args=(sheet,)) for sheet in sheets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert sorted(counts(report) for report in reports) == [(0, 0, 60, 0, 0)] * 3 + [
        (60, 0, 0, 0, 0)
    ]
    assert len(movements(database)) == 60


def test_stock_goes_through_the_counts_and_leaves_what_orders_hold(
    database, seller, take_in, clock
):
    with database.transaction() as session:
        owner = session.get_one(User, seller.user_id)
        product = make_product(session, owner, sku="A", stock=10, reserved=4, price_cents=500)
    clock.advance(hours=1)
    assert counts(take_in(seller, "sku,stock\nA,6\n")) == (0, 0, 1, 0, 0)
    assert counts(take_in(seller, "sku,stock\nA,1\n")) == (0, 1, 0, 0, 0)
    with database.reading() as session:
        now = session.get_one(Product, product.id)
        assert (now.on_hand, now.reserved, now.version) == (5, 4, 2)
        assert now.updated_at == clock()
    assert movements(database)[1:] == [("adjustment", -5, seller.user_id)]
    before = database_snapshot(database)
    report = take_in(seller, "sku,stock\nA,1000000000\n")
    assert faults(report) == [
        (2, "stock", "1000000000", "Stock is 0 to 999999996 for this product.")
    ]
    assert differing_tables(before, database_snapshot(database)) == set()


def test_categories_of_one_name_below_two_parents_are_two(database, admin, take_in):
    sheet = (
        "sku,name,price,category\nA,A,5,Men > Shoes\nB,B,5,Women > Shoes\nC,C,5,men > shoes\n"
        f"D,D,5,{'x' * 81}\nE,E,5,a > b > c > d > e > f\n"
    )
    report = take_in(admin, sheet, category_maker=admin)
    assert counts(report) == (3, 0, 0, 0, 2)
    assert [(row, message) for row, _, _, message in faults(report)] == [
        (5, "A category's name has at most 80 characters."),
        (6, "Categories lie at most 5 deep."),
    ]
    with database.reading() as session:
        slugs = session.execute(
            select(Product.sku, Category.slug)
            .join(Category, Category.id == Product.category_id)
            .order_by(Product.sku)
        ).all()
    assert [tuple(row) for row in slugs] == [
        ("A", "shoes"),
        ("B", "women-shoes"),
        ("C", "shoes"),
    ]


def test_what_a_file_brings_and_changes_is_found_at_once_and_forgiven(database, seller, take_in):
    def found(query, **wanted):
        with database.reading() as session:
            answer = search_products(session, SearchAsk(query, **wanted))
        return [product.name for product, _ in answer.rows], answer.corrected

    take_in(seller, "sku,name,price\nK-1,Zumaridi kettle,150\nK-2,Tanzanite ring,9000\n")
    assert found("zumarridi") == (["Zumaridi kettle"], "zumaridi")
    assert found("kettle", max_price_cents=15_000) == (["Zumaridi kettle"], None)

    take_in(seller, "sku,name,price\nK-1,Steel kettle,160\n")
    assert found("zumarridi") == found("zumaridi") == ([], None)
    assert found("kettle", max_price_cents=15_000) == ([], None)
    assert found("steele", min_price_cents=16_000) == (["Steel kettle"], "steel")
