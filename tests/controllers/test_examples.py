"""Every line to paste of the documentation is pasted, in a shop where the first of each thing is
there and the caller may do all: what is shown as an example must work as one.
"""

import shlex
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import update

from app.controllers.docs_chapters import chapters_of
from app.controllers.openapi import openapi_document
from app.models import Task
from app.policies import Role
from app.utils.passwords import hash_password
from tests.controllers.sign_in import tokens_of
from tests.core import ask_to_pay, buy
from tests.factories import (
    CHEAP_HASH,
    make_category,
    make_comment,
    make_delivery,
    make_notification,
    make_product,
    make_task,
    make_user,
    make_webhook,
)
from tests.matters import different, disputed, found_paid, given_up, stuck, unmatched

BASE = "http://localhost"
UNHAPPY = {
    "POST /api/orders/{order_id}/fulfil": 409,  # the first order is not paid yet
    "POST /api/pay/cb/{token}": 404,  # only Safaricom knows the token
    "GET /metrics": 404,  # nobody is let in
    "POST /api/pay/c2b/confirm/{secret}": 404,
    "POST /api/pay/c2b/validate/{secret}": 404,
    "POST /api/pay/result/{token}": 404,
    "POST /api/pay/timeout/{token}": 404,
    "POST /api/transactions/{transaction_id}/refund": 409,  # nor is the first transaction
    "POST /api/receipts/{receipt}/refund": 404,  # what stands there is no receipt
    "POST /api/refunds/{refund_id}/approve": 404,  # nothing was refunded yet
    "POST /api/refunds/{refund_id}/reject": 404,
    "POST /api/refunds/{refund_id}/complete": 404,
    "POST /api/refunds/{refund_id}/fail": 404,
    "GET /api/refunds/{refund_id}": 404,
    "GET /media/{key}/{name}": 404,  # nor can the key of a picture be guessed
}
"""The lines that cannot work as they stand, and why."""

MATTERS = {
    "paid": given_up,
    "not-paid": given_up,
    "receipt": found_paid,
    "is-there": disputed,
    "not-there": disputed,
    "correct": different,
    "retry": stuck,
}
"""What a decision is about; the other lines are about money without an order."""


@pytest.fixture
def database_kind():
    return "sqlite"


@pytest.fixture
def shop(database, database_url, clock):
    """Puts the first of each thing, all of them user 1's, in front of every line anew."""
    with database.transaction() as session:
        user = make_user(session, Role.ADMIN, phone_number="254700000001")
        user.password_hash = hash_password("Correct horse 12", CHEAP_HASH)
        make_category(session)
        product = make_product(session, user, category=make_category(session, "Baskets"))
        order = buy(session, user, (product, 2))
        order.number = "K7M2Q9X"
        ask_to_pay(session, buy(session, user, (product, 1)), msisdn="254700000002")
        make_comment(session, user, product)
        make_task(session, user)
        make_notification(session, user)
        make_delivery(session, make_webhook(session, user))
    assert (user.id, product.id, order.id) == (1, 1, 1)
    file = Path(database_url.removeprefix("sqlite:///"))
    database.dispose()
    kept = shutil.copy(file, file.with_suffix(".kept"))

    def put_back(name):
        database.dispose()
        for leftover in file.parent.glob(f"{file.name}-*"):
            leftover.unlink()
        shutil.copy(kept, file)
        if "/exceptions/" in name:
            put_matter(database, MATTERS.get(name.rpartition("/")[2], unmatched))
        return user

    return put_back


@pytest.fixture
def lines(app):
    with app.test_request_context(base_url=BASE):
        chapters = chapters_of(openapi_document(app), BASE)
    return {
        f"{entry.method.partition(',')[0]} {entry.path}": shlex.split(entry.curl)
        for chapter in chapters
        for entry in chapter.entries
    }


def test_every_example_works(app, shop, lines):
    statuses = {}
    for name, words in lines.items():
        token = token_of(app, shop(name), name)
        if name == "POST /api/login":  # signs in who the first line registers
            paste(app, lines["POST /api/register"], token)
        statuses[name] = paste(app, words, token).status_code
    failed = {name: status for name, status in statuses.items() if status >= 400}
    assert failed == UNHAPPY


def put_matter(database, make):
    """A matter of money as the first task, in place of the one that was there."""
    with database.transaction() as session:
        made = make(session).id
        session.execute(update(Task).where(Task.id == 1).values(id=1000))
        session.execute(update(Task).where(Task.id == made).values(id=1))


def token_of(app, user, name):
    """As $TOKEN: the refresh token where that is what is sent."""
    pair = tokens_of(app, user)
    return pair.refresh_token if name.endswith("/refresh") else pair.access_token


def paste(app, words, token):
    """What curl would send."""
    method, body, given = "GET", None, {}
    url = next(word for word in words if word.startswith(BASE))
    for flag, value in pairwise(words):
        if flag == "-X":
            method = value
        elif flag == "-H":
            name, _, text = value.partition(": ")
            given[name] = text.replace("$TOKEN", token)
        elif flag in {"-d", "--data-binary"}:
            body = value
    return app.test_client().open(url, method=method, data=body, headers=given)
