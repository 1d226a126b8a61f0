"""Files of products on the command line: shown first, done when somebody agrees."""

import pytest
from sqlalchemy import select

from app.models import Product
from app.policies import Role
from tests.core import database_snapshot
from tests.factories import make_product, make_user

SHEET = "sku,name,price,stock,colour\nB-1,Boot,1499.50,5,red\nB-2,Hat,abc,1,\n"


@pytest.fixture
def sheet(shop, home):
    with shop.transaction() as session:
        make_user(session, Role.SELLER, username="Njeri", email="njeri@shop.example")
        make_user(session, username="amina")
    path = home / "sheet.csv"
    path.write_text(SHEET)
    return str(path)


def names(database) -> list[str]:
    with database.reading() as session:
        return list(session.scalars(select(Product.name).order_by(Product.id)))


def test_a_file_is_shown_before_it_is_taken_in(manage, shop, sheet):
    command = ("products", "import", sheet, "--seller", "njeri")
    before = database_snapshot(shop)
    tried = manage(*command, "--dry-run")
    assert tried.exit_code == 1
    assert "would be created 1, updated 0, unchanged 0, skipped 0, refused 1." in tried.stdout
    assert "Columns that were not read: colour" in tried.stdout
    assert "  row 3, price 'abc': Must be an amount" in tried.stderr
    declined = manage(*command, input="n\n")
    assert (declined.exit_code, "Do it for Njeri?" in declined.stdout) == (1, True)
    assert database_snapshot(shop) == before

    agreed = manage(*command, input="y\n")
    assert agreed.exit_code == 1
    assert "sokoni file: created 1, updated 0" in agreed.stdout
    assert names(shop) == ["Boot"]
    again = manage(*command)
    assert (again.exit_code, "Do it" in again.stdout) == (1, False)


def test_a_good_file_ends_well_and_comes_out_again(manage, shop, sheet, home):
    (home / "good.csv").write_text("sku,name,price,category\nB-1,Boot,5,Shoes\n")
    command = ("products", "import", "good.csv", "--seller", "njeri@shop.example", "--yes")
    refused = manage(*command)
    assert (refused.exit_code, names(shop)) == (1, [])
    assert manage(*command, "--create-categories").exit_code == 0
    with shop.transaction() as session:
        make_product(session, name="Somebody else's")

    own = manage("products", "export", "--seller", "njeri")
    assert (own.exit_code, own.stdout.count("\n"), '"Boot"' in own.stdout) == (0, 2, True)
    assert manage("products", "export", "-o", "all.csv").exit_code == 0
    everything = (home / "all.csv").read_text()
    assert (everything.count("\n"), everything.split("\n")[0].strip()[-9:]) == (3, ',"seller"')
    (home / "own.csv").write_bytes(own.stdout_bytes)
    back = manage("products", "import", "own.csv", "--seller", "njeri")
    assert (back.exit_code, "unchanged 1, skipped 0, refused 0." in back.stdout) == (0, True)


def test_what_makes_no_sense_is_one_line(manage, shop, sheet, home):
    (home / "bad.csv").write_bytes(b"name,stock\nBoot,1\n")
    before = database_snapshot(shop)
    for arguments, code, words in (
        ((sheet, "--seller", "nobody"), 1, "There is no user nobody."),
        ((sheet, "--seller", "amina"), 1, "amina is no seller."),
        ((sheet, "--seller", "njeri", "--yes", "--dry-run"), 2, "choose one."),
        (("none.csv", "--seller", "njeri"), 2, "does not exist"),
        (("bad.csv", "--seller", "njeri", "--yes"), 1, "price is not among them."),
        ((sheet,), 2, "--seller"),
    ):
        result = manage("products", "import", *arguments)
        assert (result.exit_code, words in result.stderr) == (code, True), result.stderr
    assert database_snapshot(shop) == before
