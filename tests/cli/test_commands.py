"""What the command line does for whoever has the machine."""

import re
from datetime import datetime, timedelta

import click
import pytest
from sqlalchemy import func, select, text

from app.cli import main
from app.cli.demo.catalogue import CATEGORIES, PRODUCTS
from app.cli.demo.past import PAST, Story
from app.cli.demo.people import ACCOUNTS_FILE, PEOPLE, kept_accounts
from app.jobs.build import build_work
from app.jobs.push import push_now
from app.models import (
    Category,
    MpesaReceipt,
    Order,
    OrderStatus,
    Payment,
    Product,
    StatementLine,
    User,
)
from app.policies import Role
from app.services.place_order import OrderRequest, WantedLine, place_order
from app.services.request_payment import PaymentRequest, request_payment
from app.utils.callback_secret import CallbackSecret
from app.utils.clock import EAT
from app.utils.passwords import verify_password
from daraja_simulator.config import SimulatorConfig
from daraja_simulator.server import SimulatorServer
from tests.factories import actor_of, make_product, make_user
from tests.looking import how_many

GOOD_PASSWORD = "nyumbani kwetu 71"


def commands(group, path=()):
    yield path, group
    if isinstance(group, click.Group):
        for name in group.list_commands(click.Context(group)):
            yield from commands(group.get_command(click.Context(group), name), (*path, name))


@pytest.mark.parametrize(
    "path", [path for path, _ in commands(main)], ids=lambda path: " ".join(path) or "manage.py"
)
def test_every_command_explains_itself(manage, path):
    result = manage(*path, "--help")
    assert (result.exit_code, result.stderr) == (0, "")
    assert re.search(r"^  [A-Z]", result.stdout, re.MULTILINE), "there is no sentence about it"


def test_a_command_that_is_not_there_is_wrong_usage(manage):
    result = manage("fly")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "No such command 'fly'" in result.stderr


def users_of(database) -> list[User]:
    with database.reading() as session:
        return list(session.scalars(select(User).order_by(User.id)))


def test_an_account_is_made_with_the_password_from_standard_input(manage, shop):
    result = manage(
        *("users", "create", "Njeri", "njeri@shop.example", "--role", "seller"),
        *("--phone", "0712 345 678", "--password-stdin"),
        input=GOOD_PASSWORD + "\n",
    )
    assert (result.exit_code, result.stdout) == (0, "Made the seller Njeri (id 1).\n")
    (user,) = users_of(shop)
    assert (user.username, user.role, user.phone_number) == ("Njeri", "seller", "254712345678")
    assert verify_password(user.password_hash, GOOD_PASSWORD, "scrypt:128:8:1")


def test_an_account_is_made_with_the_password_typed_twice(manage, shop):
    typed = f"{GOOD_PASSWORD}\n{GOOD_PASSWORD}\n"
    result = manage(
        "users", "create", "amina", "amina@shop.example", "--role", "admin", input=typed
    )
    assert result.exit_code == 0
    assert GOOD_PASSWORD not in result.output
    assert [user.role for user in users_of(shop)] == ["admin"]


@pytest.mark.parametrize(
    ("arguments", "password", "exit_code", "words"),
    [
        (("amina", "amina@shop.example"), "short", 1, "Use at least 8 characters."),
        (("amina", "amina@shop.example"), "", 1, "Use at least 8 characters."),
        (("amina", "amina@shop.example"), "password123", 1, "everybody tries first"),
        (("a", "amina@shop.example"), GOOD_PASSWORD, 2, "Use 3 to 30 characters."),
        (("amina", "no address"), GOOD_PASSWORD, 2, "Not an e-mail address."),
        (
            ("amina", "amina@shop.example", "--phone", "+44 20 7946 0018"),
            GOOD_PASSWORD,
            2,
            "Not a Kenyan mobile number.",
        ),
        (("amina", "amina@shop.example", "--role", "king"), GOOD_PASSWORD, 2, "'king' is not one"),
    ],
)
def test_an_account_that_will_not_do_is_refused_in_one_line(
    manage, shop, arguments, password, exit_code, words
):
    result = manage("users", "create", *arguments, "--password-stdin", input=password + "\n")
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert words in result.stderr
    assert users_of(shop) == []


def test_a_taken_name_is_refused(manage, shop):
    arguments = ("users", "create", "amina", "amina@shop.example", "--password-stdin")
    assert manage(*arguments, input=GOOD_PASSWORD).exit_code == 0
    again = manage(*arguments, input=GOOD_PASSWORD)
    assert again.exit_code == 1
    assert again.stderr == (
        "Another account has this username and e-mail address. Use another, or sign in.\n"
    )
    assert len(users_of(shop)) == 1


def test_a_password_is_never_taken_from_the_arguments(manage, shop):
    result = manage("users", "create", "amina", "amina@shop.example", "--password", "x" * 12)
    assert result.exit_code == 2
    assert users_of(shop) == []


def test_a_role_is_given_by_name_or_address(manage, shop):
    with shop.transaction() as session:
        make_user(session, username="wanjiku", email="wanjiku@shop.example")
        make_user(session, username="otieno", email="otieno@shop.example")
    assert manage("users", "promote", "Wanjiku", "admin").exit_code == 0
    assert manage("users", "promote", "otieno@shop.example", "seller").exit_code == 0
    assert [user.role for user in users_of(shop)] == ["admin", "seller"]


def test_the_role_of_nobody_cannot_be_changed(manage, shop):
    result = manage("users", "promote", "nobody", "admin")
    assert (result.exit_code, result.stderr) == (1, "There is no user nobody.\n")


def test_the_last_admin_stays_admin(manage, shop):
    with shop.transaction() as session:
        make_user(session, Role.ADMIN, username="amina")
    assert manage("users", "promote", "amina", "customer").exit_code == 1
    assert [user.role for user in users_of(shop)] == ["admin"]


def test_the_list_shows_all_users_however_many_and_no_hash(manage, shop):
    with shop.transaction() as session:
        for _ in range(130):
            make_user(session)
        make_user(session, Role.SELLER, username="otieno")
    everybody = manage("users", "list")
    assert len(everybody.stdout.splitlines()) == 131
    assert "scrypt" not in everybody.stdout
    sellers = manage("users", "list", "--role", "seller").stdout.split()
    assert sellers[1:3] == ["seller", "otieno"]


def test_a_database_without_tables_gives_advice_not_a_traceback(manage, home, monkeypatch):
    manage("config", "init")
    result = manage("users", "list")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.endswith("Run: python manage.py db upgrade\n")
    assert len(result.stderr.splitlines()) == 1


def test_a_database_that_is_away_gives_one_line(manage, monkeypatch):
    manage("config", "init")
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody:secret-word@127.0.0.1:1/nothing")
    result = manage("audit")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("The database does not answer: ")
    assert "secret-word" not in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_migrations_go_up_and_down(manage, home):
    manage("config", "init")
    up = manage("db", "upgrade")
    assert up.exit_code == 0
    assert re.fullmatch(r"The database went from nothing to \d{4}\.\n", up.stdout)
    assert manage("db", "upgrade").stdout.endswith("already.\n")
    assert manage("db", "check").exit_code == 0
    refused = manage("db", "downgrade", "base", input="n\n")
    assert refused.exit_code == 1
    assert manage("db", "check").exit_code == 0
    down = manage("db", "downgrade", "base", "--yes")
    assert (down.exit_code, down.stdout) == (0, "The database is at nothing.\n")
    unready = manage("db", "check")
    assert unready.exit_code == 1
    assert "python manage.py db upgrade" in unready.stderr


def test_every_route_says_who_may_call_it(manage, shop):
    result = manage("routes")
    assert result.exit_code == 0
    rows = [line.split(maxsplit=2) for line in result.stdout.splitlines()]
    assert ["POST", "/api/orders", "signed in"] in rows
    assert ["POST", "/orders", "signed in"] in rows
    assert [row for row in rows if row[2] == "-"] == [["GET", "/static/<path:filename>", "-"]]


def test_a_sound_shop_passes_the_audit(manage, shop):
    result = manage("audit")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "All 8 invariants of money and stock hold.\n"


def test_the_audit_names_each_row_that_is_broken_and_fails(manage, shop):
    with shop.transaction() as session:
        product = make_product(session, stock=10)
        session.execute(text(f"UPDATE products SET on_hand = 9 WHERE id = {product.id}"))
    result = manage("audit")
    assert result.exit_code == 1
    assert re.findall(r"^I\d  \w+ \d+", result.stdout, re.MULTILINE) == [
        f"I4  product {product.id}"
    ]
    assert result.stderr.splitlines()[-1] == "1 rows break 1 invariants."


def test_seed_makes_the_categories_and_nothing_else(manage, shop):
    result = manage("seed")
    assert (result.exit_code, result.stdout) == (0, "Made the categories.\n")
    expected = len(CATEGORIES) + sum(len(below) for below in CATEGORIES.values())
    assert how_many(shop, Category) == expected
    assert (how_many(shop, User), how_many(shop, Product)) == (0, 0)


def test_the_demo_shop_is_whole_and_its_books_are_clean(manage, shop, home):
    result = manage("seed", "--demo")
    assert (result.exit_code, result.stderr) == (0, "")
    assert how_many(shop, Product) == len(PRODUCTS) == 42
    with shop.reading() as session:
        states = session.scalars(select(Order.status).order_by(Order.id)).all()
        late = session.scalar(select(func.count()).where(Order.created_at > func.now()))
    ends = {
        Story.DELIVERED: OrderStatus.DELIVERED,
        Story.SHIPPED: OrderStatus.SHIPPED,
        Story.PAID: OrderStatus.PAID,
        Story.PAID_AT_SECOND_TRY: OrderStatus.SHIPPED,
        Story.CANCELLED: OrderStatus.CANCELLED,
        Story.EXPIRED: OrderStatus.EXPIRED,
    }
    assert states == [ends[past.story] for past in PAST]
    assert late == 0
    assert manage("audit").exit_code == 0


def test_every_payment_of_the_demo_stands_on_m_pesas_books(manage, shop):
    manage("seed", "--demo")
    first, last = (f"{datetime.now(EAT) - timedelta(days=days):%Y-%m-%d}" for days in (14, 1))
    result = manage("payments", "report", "--from", first, "--to", last)
    assert result.exit_code == 0, result.stdout
    with shop.reading() as session:
        times = session.execute(
            select(StatementLine.transacted_at, MpesaReceipt.transacted_at).join(
                MpesaReceipt, MpesaReceipt.receipt == StatementLine.receipt
            )
        ).all()
    assert len(times) == 10
    assert all(theirs == ours for theirs, ours in times)


def test_demo_receipts_look_like_receipts(manage, shop):
    manage("seed", "--demo")
    with shop.reading() as session:
        receipts = session.scalars(
            select(Payment.mpesa_receipt).where(Payment.mpesa_receipt.is_not(None))
        ).all()
    assert len(receipts) == len(set(receipts)) == 10
    assert [
        receipt for receipt in receipts if not re.fullmatch(r"[A-Z]{2}[1-9A-V][A-Z0-9]{7}", receipt)
    ] == []


def test_demo_accounts_are_kept_for_the_owner_alone_and_can_sign_in(manage, shop, home):
    result = manage("seed", "--demo")
    assert ACCOUNTS_FILE.stat().st_mode & 0o777 == 0o600
    accounts = {account.username: account for account in kept_accounts()}
    assert [(user.role, user.username) for user in users_of(shop)] == [
        (role.value, username) for role, username, _ in PEOPLE
    ]
    for user in users_of(shop):
        password = accounts[user.username].password
        assert verify_password(user.password_hash, password, "scrypt:128:8:1")
        assert password not in result.output


def test_a_shop_that_has_begun_is_never_seeded(manage, shop, home):
    with shop.transaction() as session:
        make_user(session)
    refused = manage("seed", "--demo")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == "The database is not empty; nothing was changed.\n"
    left = manage("seed", "--demo", "--if-empty")
    assert (left.exit_code, left.stdout) == (
        0,
        "The database is not empty; it was left as it is.\n",
    )
    assert (how_many(shop, User), how_many(shop, Product), how_many(shop, Category)) == (1, 0, 0)
    assert not ACCOUNTS_FILE.exists()


def test_a_demo_that_breaks_half_way_leaves_nothing(manage, shop, monkeypatch):
    monkeypatch.setattr("app.cli.seed.PAST", (*PAST, None))
    with pytest.raises(AttributeError):
        manage("seed", "--demo")
    assert (how_many(shop, User), how_many(shop, Product), how_many(shop, Category)) == (0, 0, 0)
    assert not ACCOUNTS_FILE.exists()


def test_no_demo_shop_is_made_in_production(manage, shop, monkeypatch):
    for name, value in {
        "MPESA_ENV": "production",
        "MPESA_BASE_URL": "https://api.safaricom.co.ke",
        "MPESA_CONSUMER_KEY": "key",
        "MPESA_CONSUMER_SECRET": "secret",
        "MPESA_SHORTCODE": "600123",
        "MPESA_PASSKEY": "a passkey of our own",
        "PUBLIC_URL": "https://shop.example",
        "PASSWORD_HASH_METHOD": "scrypt:32768:8:1",
    }.items():
        monkeypatch.setenv(name, value)
    result = manage("seed", "--demo")
    assert (result.exit_code, result.stderr) == (1, "A demo shop has no place in production.\n")
    assert how_many(shop, User) == 0


@pytest.fixture
def asked(shop, monkeypatch):
    """A payment that was paid, of which no callback ever came."""
    from app.cli.context import load_config
    from app.cli.demo.past import PAYMENT_RULES, RULES

    with SimulatorServer(SimulatorConfig(answer_seconds=0.1)) as simulator:
        monkeypatch.setenv("MPESA_BASE_URL", simulator.url)
        work = build_work(load_config())
        secret = CallbackSecret.new()
        with work.database.transaction() as session:
            buyer = actor_of(make_user(session, phone_number="254712347001"))
            product = make_product(session, price_cents=150_000)
            ask = OrderRequest(lines=(WantedLine(product.id, 1),))
            order = place_order(session, buyer, ask, RULES, work.now())
            payment = request_payment(
                session, buyer, PaymentRequest(order.id), secret, PAYMENT_RULES, work.now()
            )
        assert push_now(work, payment.id, secret) is None
        simulator.settle()
        yield payment.id
        work.database.dispose()


def test_reconcile_finds_the_money_that_no_callback_reported(manage, shop, asked):
    deadline_reached = False
    for _ in range(100):
        result = manage("payments", "reconcile", str(asked))
        if "succeeded" in result.stdout:
            deadline_reached = True
            break
    assert deadline_reached, result.stdout
    assert result.stdout == f"payment {asked}: pending -> succeeded\nAsked about 1 open payments.\n"
    with shop.reading() as session:
        assert session.scalar(select(Order.status)) == OrderStatus.PAID
    assert manage("payments", "reconcile").stdout == "Asked about 0 open payments.\n"


def test_show_tells_all_that_is_known_and_masks_the_phone(manage, shop, asked):
    result = manage("payments", "show", str(asked))
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == f"payment {asked}: pending"
    assert "  amount               KES 1500" in lines
    assert "  phone                2547****001" in lines
    assert "254712347001" not in result.stdout.replace(lines[4], "")
    assert any("created -> pending" in line and "by push" in line for line in lines)


def test_a_payment_that_is_not_there_is_one_line(manage, shop):
    for command in ("show", "reconcile"):
        result = manage("payments", command, "17")
        assert (result.exit_code, result.stderr) == (1, "There is no payment 17.\n")
