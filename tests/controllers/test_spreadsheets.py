"""The catalogue's files at the edge: who, how large, of which kind, and what is answered."""

import io

import pytest

from app.composition import MAX_BODY_BYTES
from app.controllers import catalogue_csv_controller as module
from app.models import Product
from app.policies import Role
from tests.controllers.callers import is_refused
from tests.controllers.sign_in import new_caller
from tests.core import database_snapshot
from tests.factories import make_category, make_product

IMPORTS = ("/api/products/import", "/api/items/import", "/products/import")
EXPORTS = ("/api/products/export.csv", "/api/items/export.csv", "/products/export.csv")
SHEET = b"sku,name,price,stock,weight\r\nB-1,Boot,1499.50,5,1kg\r\nB-2,Hat,abc,1,\r\n"
REPORT = {
    "format": "sokoni",
    "dry_run": False,
    "rows": 2,
    "created": 1,
    "updated": 0,
    "unchanged": 0,
    "skipped": 0,
    "failed": 1,
    "errors": [
        {
            "row": 3,
            "column": "price",
            "value": "abc",
            "message": "Must be an amount in shillings, like 1499.5: at most two decimals and ten"
            " digits before them, not negative.",
        }
    ],
    "warnings": [],
    "ignored_columns": ["weight"],
}


@pytest.fixture
def seller(app, database):
    return new_caller(app, database, Role.SELLER)


@pytest.fixture
def send(client, seller):
    def send(data, path=IMPORTS[0], content_type="text/csv", headers=seller[1], **options):
        return client.post(path, data=data, content_type=content_type, headers=headers, **options)

    return send


def form(**files):
    return {name: (io.BytesIO(data), "catalogue.csv") for name, data in files.items()}


def test_a_file_is_taken_in_as_the_body_or_in_a_form(send, client, database):
    tried = send(SHEET, query_string="dry_run=true")
    assert (tried.status_code, tried.get_json()) == (200, REPORT | {"dry_run": True})
    with database.reading() as session:
        assert session.query(Product).count() == 0

    first = send(SHEET, content_type="text/csv; charset=UTF-8")
    assert (first.status_code, first.get_json()) == (200, REPORT)
    assert first.headers["Cache-Control"] == "no-store"
    again = REPORT | {"created": 0, "unchanged": 1}
    for path in IMPORTS:
        answer = send(form(file=SHEET), path, content_type="multipart/form-data")
        assert (answer.status_code, answer.get_json()) == (200, again)
    (boot,) = client.get("/products").get_json()["data"]
    assert (boot["name"], boot["price"], boot["stock"]) == ("Boot", 1499.5, 5)


def test_a_header_alone_is_a_file_of_no_rows(send):
    report = send(b"id,sku,name,price\r\n").get_json()
    assert (report["rows"], report["failed"], report["warnings"]) == (0, 0, [])


def test_what_is_no_such_file_changes_nothing(send, database):
    """Also attack 73: forms that are no forms."""
    before = database_snapshot(database)
    header = b"sku,name,price\n"
    for data, content_type, status, code, fields in (
        (b"", "text/csv", 400, "csv_empty", ("file",)),
        (b"name,stock\nBoot,1\n", "text/csv", 400, "csv_column_missing", ("file",)),
        (header + b"A,\xff,1\n", "text/csv", 400, "csv_not_utf8", ("file",)),
        (header + b'A,Boot,1\nB,"Hat,1\n', "text/csv", 400, "csv_malformed", ("file",)),
        (SHEET, "text/csv; charset=utf-16", 415, "unsupported_media_type", ()),
        (SHEET, "application/json", 415, "unsupported_media_type", ()),
        (SHEET, None, 415, "unsupported_media_type", ()),
        (SHEET, "multipart/form-data", 400, "invalid_input", ("file",)),
        (b"--x\r\nbroken", "multipart/form-data; boundary=x", 400, "invalid_input", ("file",)),
        (form(other=SHEET), "multipart/form-data", 400, "invalid_input", ("other",)),
        ({"file": "text"}, "multipart/form-data", 400, "invalid_input", ("file",)),
        (
            {"file": [(io.BytesIO(SHEET), "a.csv"), (io.BytesIO(SHEET), "b.csv")]},
            *("multipart/form-data", 400, "invalid_input", ("file",)),
        ),
    ):
        assert is_refused(send(data, content_type=content_type), status, code, *fields)
    missing = send(b"sku,name\nA,Boot\n").get_json()
    assert missing["missing_columns"] == ["price"]
    assert is_refused(send(SHEET, query_string="dry_run=maybe"), 400, "invalid_input", "dry_run")
    assert is_refused(send(SHEET, query_string="create_categories=true"), 403, "forbidden")
    assert database_snapshot(database) == before


def test_a_file_may_be_larger_than_other_bodies_and_not_endless(
    send, client, database, monkeypatch
):
    padding = b" " * 100_000 + b"\n"
    data = SHEET + padding * (MAX_BODY_BYTES // len(padding) + 1)
    assert len(data) > MAX_BODY_BYTES
    assert send(data, query_string="dry_run=true").status_code == 200
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
    in_a_form = {
        "data": part + data + b"\r\n--x--\r\n",
        "content_type": "multipart/form-data; boundary=x",
    }
    assert send(**in_a_form, query_string="dry_run=true").status_code == 200
    assert is_refused(
        send(data, path="/api/items", content_type="application/json"), 413, "body_too_large"
    )
    monkeypatch.setattr(module, "LARGEST_FILE_BYTES", len(data) - 1)
    before = database_snapshot(database)
    assert is_refused(send(data), 413, "body_too_large")
    assert is_refused(send(**in_a_form), 413, "body_too_large")
    chunked = {"wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
    endless = {"input_stream": io.BytesIO(data), "environ_overrides": chunked}
    assert is_refused(send(None, **endless), 413, "body_too_large")
    assert database_snapshot(database) == before


def test_nothing_is_imported_of_a_body_that_broke_off(send, database):
    before = database_snapshot(database)
    for terminated in (False, True):
        cut = {"CONTENT_LENGTH": str(len(SHEET) + 10)}
        if terminated:
            cut["wsgi.input_terminated"] = True
        response = send(None, input_stream=io.BytesIO(SHEET), environ_overrides=cut)
        assert is_refused(response, 400, "bad_request")
    assert database_snapshot(database) == before


def test_an_administrator_makes_the_categories_of_a_file(app, client, send, database):
    user, admin = new_caller(app, database, Role.ADMIN)
    sheet = b"sku,name,price,category\nA,Boot,5,Clothes > Shoes\n"
    assert send(sheet, headers=admin).get_json()["failed"] == 1
    report = send(sheet, headers=admin, query_string="create_categories=true").get_json()
    assert (report["created"], report["failed"]) == (1, 0)
    (boot,) = client.get("/products").get_json()["data"]
    assert (boot["seller_id"], boot["category"]) == (user.id, "shoes")


def test_the_catalogue_comes_out_as_a_file_that_goes_in_again(app, client, send, seller, database):
    with database.transaction() as session:
        shoes = make_category(session, "Shoes")
        boot = make_product(
            session,
            seller[0],
            name="=Boot",
            sku="B-1",
            description='Warm, "dry"',
            price_cents=149_950,
            stock=5,
            reserved=2,
            category_id=shoes.id,
        )
        theirs = make_product(session, name="Kofia", stock=0)
    _, admin = new_caller(app, database, Role.ADMIN)
    before = database_snapshot(database)

    header = (
        '"id","sku","name","description","price","stock","category","low_stock_threshold",'
        '"image_url","created_at","updated_at"'
    )
    moment = '"2026-11-22T09:00:00Z"'
    own = (
        f'"{boot.id}","B-1","\'=Boot","Warm, ""dry""","1499.50","3","{shoes.slug}","","",'
        f"{moment},{moment}"
    )
    for path in EXPORTS:
        response = client.get(path, headers=seller[1])
        assert (response.status_code, response.text) == (200, f"{header}\r\n{own}\r\n")
        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert response.headers["Content-Disposition"] == 'attachment; filename="products.csv"'
        assert response.headers["Cache-Control"] == "no-store"
    excel = client.get(EXPORTS[0], headers=seller[1], query_string="excel=true")
    assert excel.data == b"\xef\xbb\xbf" + response.data

    everything = client.get(EXPORTS[0], headers=admin).text.split("\r\n")
    assert everything[0] == f'{header},"seller"'
    assert everything[1] == f'{own},"{seller[0].username}"'
    assert everything[2].startswith(f'"{theirs.id}","","Kofia",')
    assert everything[3:] == [""]

    for headers, rows in ((seller[1], 1), (admin, 2)):
        report = send(client.get(EXPORTS[0], headers=headers).data, headers=headers).get_json()
        assert (report["rows"], report["unchanged"], report["errors"]) == (rows, rows, [])
    assert database_snapshot(database) == before
