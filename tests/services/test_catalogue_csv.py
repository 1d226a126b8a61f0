"""Files as people have them, read without a database."""

import csv
import io
import time

import pytest

from app.errors import InvalidInput
from app.models.item import MAX_STOCK
from app.schemas.catalogue_csv import read_row
from app.services.catalogue_csv import CsvFile, Line, Skip, export_line, find_layout, line_reader
from app.services.catalogue_csv.cells import guard_cell, plain_text, unguard_cell
from app.services.catalogue_csv.lines import MOST_ROWS
from app.services.catalogue_csv.rows import RowFault
from app.utils.unset import UNSET

DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
HEADER = b"sku,name,price\n"
TOO_LONG = (
    "Row 2 has a cell of more than 131,072 characters. Perhaps a quotation mark"
    ' (") is never closed.'
)


def read(data: bytes | str) -> list:
    """Every row of a file as its layout reads it."""
    table = CsvFile(io.BytesIO(data.encode() if isinstance(data, str) else data))
    read_line = line_reader(find_layout(table.header))
    return [read_line(record) for record in table.records()]


def cells(data: bytes | str) -> list[dict]:
    return [dict(line.cells) for line in read(data)]


def refused(data: bytes) -> tuple[str, str]:
    """The code and the sentence with which a whole file is refused."""
    with pytest.raises(InvalidInput) as caught:
        table = CsvFile(io.BytesIO(data))
        find_layout(table.header)
        table.count()
    (error,) = caught.value.errors
    assert error == {"field": "file", "message": caught.value.detail}
    return caught.value.code, caught.value.detail


def sheet(*rows: dict) -> str:
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def test_attack_65_no_cell_is_a_formula_and_every_text_comes_back():
    for first in DANGEROUS:
        for text in (f"{first}cmd|' /C calc'!A0", f"'{first}x", f"'''{first}", first):
            written = guard_cell(text)
            assert written == f"'{text}"
            assert unguard_cell(written) == text
    for text in ("", "'", "'plain", "a=b", " =b", "''", "\u201c=\u201d", "7-Up"):
        assert guard_cell(text) == text == unguard_cell(text)


def test_attack_65_cells_are_quoted():
    assert export_line(['=HYPERLINK("x")', "-5", "a,b\nc", ""]) == (
        '"\'=HYPERLINK(""x"")","\'-5","a,b\nc",""\r\n'
    )


def test_markup_becomes_what_a_reader_would_see():
    for markup, text in {
        "<p>Warm &amp; dry</p><p>Two<br>lines</p>": "Warm & dry\n\nTwo\nlines",
        "<ul><li>One</li><li>Two</li></ul>": "- One\n- Two",
        "a<script>alert('<b>')</script>b<style>p{}</style>c": "abc",
        "size < 5 and > 3": "size < 5 and > 3",
        "<!-- hidden -->shown<img src=x onerror=alert(1)>": "shown",
        "&lt;b&gt; is text": "<b> is text",
        "a\r\nb  \t c": "a\nb c",
        "<p": "<p",
    }.items():
        assert plain_text(markup) == text


def test_no_markup_takes_long():
    began = time.perf_counter()
    for piece in ("<", "<a", "</", "<!--", "<script>", "<a href='", "&", "a" * 10, "\n", " "):
        plain_text(piece * (130_000 // len(piece)))
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    "data",
    [
        b"sku,name,price\nB-1,Boot,5\n",
        b"\xef\xbb\xbfsku,name,price\r\nB-1,Boot,5\r\n",
        b"sku;name;price\nB-1;Boot;5",
        b"sku\tname\tprice\nB-1\tBoot\t5\n",
        b"sep=;\r\nsku;name;price\r\nB-1;Boot;5\r\n",
        b'\xef\xbb\xbf"sep=;"\nsku;name;price\nB-1;Boot;5\n',
        b"sku,name,price\rB-1,Boot,5\r",
        b'"sku","name","price"\n"B-1","Boot","5"\n',
        b" SKU ,Name,PRICE\nB-1,Boot,5\n",
        b"sku,name,price,,\nB-1,Boot,5,,\n",
    ],
)
def test_a_table_is_read_however_it_was_saved(data):
    assert cells(data) == [{"sku": "B-1", "name": "Boot", "price": "5"}]


def test_rows_have_the_numbers_that_a_spreadsheet_shows():
    lines = read('sku,name,price\n\nB-1,"Two\nlines",5\n,,\nB-2,Hat,6\n')
    assert [(line.row, line.cells["sku"]) for line in lines] == [(3, "B-1"), (5, "B-2")]
    assert [line.row for line in read("sep=,\nsku,name,price\nB-1,Boot,5\n")] == [2]


def test_a_row_with_too_many_cells_is_at_fault_and_one_with_fewer_says_less():
    fault, line = read("sku,name,price\nB-1,Boot,red,5\nB-2,Hat\n")
    assert fault == RowFault(
        2,
        "This row has 4 cells and the header 3."
        ' Put quotation marks (") around a cell that holds the separator.',
    )
    assert line == Line(3, {"sku": "B-2", "name": "Hat"})


def test_a_file_whose_rows_cannot_be_told_apart_is_refused_with_the_place():
    for data, code, sentence in (
        (b"", "csv_empty", "The file is empty: its first row must name the columns."),
        (b"\n \n,,\n", "csv_empty", "The file is empty: its first row must name the columns."),
        (
            HEADER + b"B-1,Boot,5\nB-2,Caf\xe9,5\n",
            "csv_not_utf8",
            "Line 3 is not UTF-8 text. In Excel, save the file as “CSV UTF-8”.",
        ),
        (
            "sku,name,price\n".encode("utf-16"),
            "csv_not_utf8",
            "Line 1 is not UTF-8 text. In Excel, save the file as “CSV UTF-8”.",
        ),
        (
            HEADER + b'B-1,Boot,5\nB-2,"Hat,5\nB-3,Cap,6\n',
            "csv_malformed",
            'Row 3 opens a quotation mark (") that is never closed.',
        ),
        (
            HEADER + b'B-1,"Bo"ot,5\n',
            "csv_malformed",
            'Row 2 cannot be read: a quotation mark (") inside a cell is written "".',
        ),
        (
            HEADER + b"B-1," + b"x" * 1_000_000 + b",5\n",
            "csv_malformed",
            TOO_LONG,
        ),
        (
            HEADER + b"B,Boot,5\n" * (MOST_ROWS + 1),
            "csv_too_many_rows",
            "The file has more than 50,000 rows: split it.",
        ),
    ):
        assert refused(data) == (code, sentence)


def test_a_missing_column_is_named():
    said = "The first row must name the columns; {} is not among them."
    for header, missing in (
        ("price,stock", "name"),
        ("stock,category", "name and price"),
        ("sku,name,prise", "price"),
        ("id,name", "price"),
        ("s\0ku", "name and price"),
        ("ID,Type,SKU,Name,In stock?", "Regular price"),
        ("Handle,Body (HTML)", "Title and Variant Price"),
    ):
        assert refused(header.encode()) == ("csv_column_missing", said.format(missing))
    assert refused(b"sku,name,price,Price") == (
        "csv_column_repeated",
        "Two columns are called Price: keep one.",
    )
    for header in ("id,stock", "sku,price", "SKU,Image URL"):
        assert cells(header) == []


def test_what_is_not_read_is_said():
    layout = find_layout(("id", "Name", "price", "weight", "updated_at", ""))
    assert (layout.format, layout.ignored) == ("sokoni", ("weight", "updated_at"))
    assert layout.in_its_words(RowFault(2, "…", "name")).column == "Name"


WOO = {"ID": "7", "Type": "simple", "Published": "1", "In stock?": "1"}


def test_woocommerces_products_are_read():
    simple, hoodie, blue, orphan, *skipped = read(
        sheet(
            WOO
            | {
                "SKU": "B-1",
                "Name": "Boot",
                "Short description": "Short",
                "Description": r"<p>Warm\nDry \\n</p>",
                "Stock": "-2",
                "Regular price": "1499.5",
                "Sale price": "1200",
                "Categories": r"Clothes > Boots\, shoes, Sale",
                "Images": "https://a.example/1.jpg, https://a.example/2.jpg",
                "Low stock amount": "3",
            },
            WOO | {"ID": "8", "Type": "variable", "Name": "Hoodie", "Categories": "Clothes"},
            WOO
            | {"Type": "variation", "Name": "Hoodie - Blue", "Regular price": "5", "Parent": "id:8"}
            | {"Stock": "4", "Short description": "Soft"},
            WOO | {"Type": "variation", "Name": "X", "Parent": "id:99", "In stock?": "0"},
            WOO | {"Type": "external", "Name": "Elsewhere"},
            WOO | {"Type": "simple, virtual", "Name": "Draft", "Published": "-1"},
        )
    )
    assert simple.cells == {
        "sku": "B-1",
        "name": "Boot",
        "description": "Warm\nDry \\n",
        "price": "1499.5",
        "stock": "0",
        "category": "Clothes > Boots, shoes",
        "image_url": "https://a.example/1.jpg",
        "low_stock_threshold": "3",
    }
    assert (hoodie.row, hoodie.reason.split(":")[0]) == (
        3,
        "A variable product has no price of its own",
    )
    assert blue.cells == {
        "name": "Hoodie - Blue",
        "price": "5",
        "stock": "4",
        "category": "Clothes",
        "description": "Soft",
    }
    assert orphan.cells == {"name": "X", "stock": "0"}
    assert skipped == [
        Skip(6, "An external product is sold elsewhere."),
        Skip(7, "It is not published."),
    ]


def test_a_variation_has_what_its_own_product_has_and_no_others():
    variation = WOO | {"Type": "variation", "Name": "X", "Regular price": "5"}
    variable = WOO | {"Type": "variable", "Categories": "Hats"}
    read_rows = read(
        sheet(
            variable | {"ID": "1"},
            variation | {"Parent": ""},
            variable | {"ID": "2", "SKU": "V", "Published": "0"},
            variation | {"Parent": "id:2"},
            variation | {"Parent": "V"},
            variation | {"Parent": "id:1"},
        )
    )
    plain = {"name": "X", "price": "5"}
    assert read_rows[1:] == [
        Line(3, plain),
        Skip(4, "It is not published."),
        Skip(5, "It is not published."),
        Skip(6, "It is not published."),
        Line(7, plain | {"category": "Hats"}),
    ]


SHOPIFY = (
    {
        "Handle": "tee",
        "Title": "Tee",
        "Body (HTML)": "<p>Soft</p>",
        "Type": "Shirts",
        "Published": "true",
        "Option1 Name": "Size",
        "Option1 Value": "S",
        "Option2 Value": "Red",
        "Variant SKU": "T-S",
        "Variant Inventory Qty": "3",
        "Variant Price": "900.00",
        "Image Src": "https://a.example/t.jpg",
        "Status": "active",
    },
    {
        "Handle": "tee",
        "Option1 Value": "M",
        "Variant SKU": "T-M",
        "Variant Inventory Qty": "-1",
        "Variant Price": "950.00",
        "Variant Image": "https://a.example/m.jpg",
    },
    {"Handle": "tee", "Image Src": "https://a.example/t2.jpg"},
    {
        "Handle": "mug",
        "Title": "Mug",
        "Option1 Value": "Default Title",
        "Variant Price": "5",
        "Status": "draft",
    },
    {"Handle": "mug", "Option1 Value": "Big", "Variant Price": "6"},
    {"Handle": "lost", "Variant Price": "6"},
    {
        "Handle": "cap",
        "Title": "Cap",
        "Option1 Value": "Default Title",
        "Variant Price": "5",
        "Published": "TRUE",
    },
)


def test_shopifys_rows_of_one_handle_are_variants_and_pictures():
    tee = {"description": "Soft", "category": "Shirts"}
    assert read(sheet(*SHOPIFY)) == [
        Line(
            2,
            tee
            | {"name": "Tee \u2013 S / Red", "sku": "T-S", "price": "900.00", "stock": "3"}
            | {"image_url": "https://a.example/t.jpg"},
        ),
        Line(
            3,
            tee
            | {"name": "Tee \u2013 M", "sku": "T-M", "price": "950.00", "stock": "0"}
            | {"image_url": "https://a.example/m.jpg"},
        ),
        Skip(4),
        Skip(5, "Its status is draft."),
        Skip(6, "Its status is draft."),
        RowFault(7, "No row above it has this handle and a title.", "handle", "lost"),
        Line(8, {"name": "Cap", "price": "5"}),
    ]


def test_shopifys_newer_names_mean_the_same():
    newer = {
        "Handle": "URL handle",
        "Body (HTML)": "Description",
        "Published": "Published on online store",
        "Variant SKU": "SKU",
        "Variant Inventory Qty": "Inventory quantity",
        "Variant Price": "Price",
        "Variant Image": "Variant image URL",
        "Image Src": "Product image URL",
    }
    renamed = [{newer.get(name, name): cell for name, cell in row.items()} for row in SHOPIFY]
    assert read(sheet(*renamed)) == read(sheet(*SHOPIFY))


def test_amounts_and_counts_are_understood_as_people_write_them():
    for text, cents in {
        "1499.5": 149_950,
        "1,499.50": 149_950,
        "KSh 1,499": 149_900,
        "Kes.12": 1200,
        "1499/=": 149_900,
        "12.5000": 1250,
        " 7 ": 700,
        "1,234,567": 123_456_700,
    }.items():
        row = read_row(Line(2, {"price": text}))
        assert row.change.price_cents == cents, text
    for text, count in {"12": 12, "12.0": 12, "1,200": 1200, str(MAX_STOCK): MAX_STOCK}.items():
        assert read_row(Line(2, {"stock": text})).change.stock == count


def test_every_cell_at_fault_is_named_with_its_value():
    for column, values in {
        "price": [
            "abc",
            "0",
            "-1",
            "1,5",
            "1499,50",
            "1.499,50",
            "1.005",
            "1e3",
            "$5",
            "5" + " " * 60 + "x",
        ],
        "stock": ["-1", "1.5", "many", "1e3", "\u0665", str(MAX_STOCK + 1), "9" * 60],
        "low_stock_threshold": ["-1", "x"],
        "name": ["x" * 201, "a\0b", "two\nlines", "a\u202eb"],
        "sku": ["x" * 65, "a\nb"],
        "description": ["x" * 10_001, "a\0b"],
        "image_url": ["boot.jpg", "javascript:alert(1)", "https://a.example/a b.jpg", "ftp://a"],
        "id": ["x", "0", "-1", "1.5", "9" * 30],
        "category": ["x" * 501],
    }.items():
        for value in values:
            (fault,) = read_row(Line(9, {column: value}))
            assert (fault.row, fault.column, fault.value) == (9, column, value[:100]), value
            assert fault.message
    faults = read_row(Line(9, {"price": "x", "stock": "y", "name": "Boot"}))
    assert sorted(fault.column for fault in faults) == ["price", "stock"]


def test_an_empty_cell_empties_what_may_be_empty_and_a_missing_one_says_nothing():
    everything = ("id", "sku", "name", "price", "description", "stock", "category", "image_url")
    change = read_row(Line(2, dict.fromkeys((*everything, "low_stock_threshold", "seller"), " ")))
    assert (change.id, change.seller) == (None, None)
    fields = change.change
    assert (fields.name, fields.price_cents, fields.stock) == (UNSET, UNSET, UNSET)
    assert (fields.description, fields.sku, fields.category) == ("", None, None)
    assert (fields.image_url, fields.low_stock_threshold) == (None, None)
    assert read_row(Line(2, {})).change.description is UNSET
