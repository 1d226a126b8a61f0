"""Something to start with: categories, or a whole demo shop."""

import random
from datetime import datetime, timedelta

import click
from sqlalchemy.orm import Session

from app.cli import Failure
from app.cli.context import opened_work
from app.cli.demo.beginning import is_empty
from app.cli.demo.books import read_books
from app.cli.demo.catalogue import CATEGORIES, PRODUCTS
from app.cli.demo.past import PAST, Player
from app.cli.demo.people import DEMO_DOMAIN, PEOPLE, Account, keep_accounts, new_accounts
from app.cli.demo.said import SAID
from app.jobs.work import Work
from app.policies import Actor, Role
from app.services.change_categories import NewCategory, create_category
from app.services.comments import NewComment, add_comment
from app.services.create_product import NewProduct, create_product
from app.services.users import NewUser, register_user
from app.utils.money import CENTS_PER_SHILLING
from app.utils.passwords import hash_password

OPENED_DAYS_AGO = 20
_MIXING = 11
COMMAND_LINE = Actor(0, Role.ADMIN, "the command line")


@click.command
@click.option("--demo", is_flag=True, help="Add demo accounts, products and past orders as well.")
@click.option("--if-empty", is_flag=True, help="Do nothing, and succeed, if there is something.")
def command(*, demo: bool, if_empty: bool) -> None:
    """Make the category tree, and with --demo a whole shop. Only in an empty database."""
    with opened_work() as work:
        if demo and work.config.is_production:
            raise Failure("A demo shop has no place in production.")
        if not is_empty(work.database):
            if not if_empty:
                raise Failure("The database is not empty; nothing was changed.")
            click.echo("The database is not empty; it was left as it is.")
        elif demo:
            seed_demo(work)
        else:
            with work.database.transaction() as session:
                _make_categories(session, work.now())
            click.echo("Made the categories.")


def seed_demo(work: Work) -> None:
    """The demo shop, all of it or nothing; the passwords are kept in a file."""
    click.echo(f"Making the demo shop: {len(PRODUCTS)} products, {len(PAST)} past orders …")
    accounts = new_accounts()
    hashes = [  # before the transaction: a hash takes a tenth of a second on purpose
        hash_password(account.password, work.config.password_hash_method) for account in accounts
    ]
    now = work.now()
    opened = now - timedelta(days=OPENED_DAYS_AGO)
    with work.database.transaction() as session:
        actors = _make_people(session, accounts, hashes, opened)
        _make_categories(session, opened)
        products = _make_products(session, actors, opened)
        _play_past(session, actors, products, now)
        read_books(session, work.config.mpesa_c2b_shortcode, opened, now)
        _say(session, actors["wanjiku"], products, now)
        keep_accounts(accounts)


def _make_people(
    session: Session, accounts: list[Account], hashes: list[str], now: datetime
) -> dict[str, Actor]:
    actors = {}
    for account, password_hash, (role, _, phone) in zip(accounts, hashes, PEOPLE, strict=True):
        new = NewUser(
            username=account.username,
            email=f"{account.username}@{DEMO_DOMAIN}",
            password=account.password,
            phone_number=phone,
        )
        user = register_user(session, new, password_hash, role, now)
        actors[account.username] = Actor(user.id, role, account.username)
    return actors


def _make_categories(session: Session, now: datetime) -> None:
    for heading, below in CATEGORIES.items():
        parent = create_category(session, COMMAND_LINE, NewCategory(name=heading), now)
        for name in below:
            create_category(session, COMMAND_LINE, NewCategory(name, parent_id=parent.id), now)


def _make_products(session: Session, actors: dict[str, Actor], opened: datetime) -> dict[str, int]:
    made = {}
    for number, demo in enumerate(PRODUCTS):
        new = NewProduct(
            name=demo.name,
            price_cents=demo.price_kes * CENTS_PER_SHILLING,
            description=demo.description,
            stock=demo.stock,
            category=demo.category,
            image_url=demo.image_url,
            sku=demo.sku,
            low_stock_threshold=demo.low_stock_threshold,
        )
        place = number * _MIXING % len(PRODUCTS)  # what is new shall be of all kinds
        at = opened + timedelta(hours=3 * place)
        made[demo.sku] = create_product(session, actors[demo.seller], new, at).id
    return made


def _say(session: Session, customer: Actor, products: dict[str, int], now: datetime) -> None:
    for said in SAID:
        new = NewComment(products[said.sku], said.body, said.rating)
        add_comment(session, customer, new, now - timedelta(days=said.days_ago))


def _play_past(
    session: Session, actors: dict[str, Actor], products: dict[str, int], now: datetime
) -> None:
    player = Player(
        session=session,
        customer=actors["wanjiku"],
        admin=actors["amina"],
        products=products,
        now=now,
        dice=random.Random(),
    )
    for past in PAST:
        player.play(past)
