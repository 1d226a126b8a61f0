"""Attack 33 for pages: every one that is served, whoever adds it, is called by each of these.

The rules follow from what a page declares, so that a new page is under them at once: nobody gets
in without signing in, without the role, or to what is another's; no form works that another site
sends; and looking at a page changes nothing.
"""

import re

import pytest

from app.models import User
from app.policies import Role
from app.web import BLUEPRINTS
from tests.core import ask_to_pay, buy, database_snapshot, pay
from tests.factories import (
    make_category,
    make_comment,
    make_delivery,
    make_notification,
    make_product,
    make_task,
    make_user,
    make_webhook,
)
from tests.refunding import ask_refund
from tests.web.browsing import Browser, signed_in

PAGES = frozenset(blueprint.name for blueprint in BLUEPRINTS)
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")


def rules_of(app, method):
    """Every page that takes a method, with its guard."""
    found = []
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if rule.endpoint.partition(".")[0] in PAGES and method in rule.methods:
            found.append((rule, view.guard))
    return sorted(found, key=lambda pair: pair[0].rule)


def path_of(rule):
    """The address of the first of each thing."""
    return _PARAMETER.sub(lambda name: "shoes" if name[1] == "slug" else "1", rule)


@pytest.fixture
def shop(database):
    """One of each thing, with the id 1, all of it the owner's and the seller's."""
    with database.transaction() as session:
        owner = make_user(session, Role.CUSTOMER)
        seller = make_user(session, Role.SELLER)
        category = make_category(session)
        category.slug = "shoes"
        product = make_product(session, seller, category=category)
        order = buy(session, owner, (product, 1))
        payment = ask_to_pay(session, order)
        pay(session, payment)
        make_comment(session, owner, product)
        make_task(session, owner)
        make_notification(session, owner)
        people = {
            "owner": owner,
            "seller": seller,
            "stranger": make_user(session, Role.CUSTOMER),
            "other_seller": make_user(session, Role.SELLER),
            "admin": make_user(session, Role.ADMIN),
        }
        make_delivery(session, make_webhook(session, people["admin"]))
        refund = ask_refund(session, people["admin"], payment)
    assert (product.id, order.id, payment.id, refund.id) == (1, 1, 1, 1)
    return people


def statuses(browser, rules, method, database, form=None):
    """What each page answers, and that nothing was changed by asking."""
    before = database_snapshot(database)
    answers = {}
    for rule, _ in rules:
        path = path_of(rule.rule)
        answer = browser.get(path) if method == "GET" else browser.post(path, form or {})
        answers[rule.rule] = answer.status_code
        assert database_snapshot(database) == before, rule.rule
    return answers


def test_attack_16_no_form_works_that_another_site_sends(app, database, shop):
    browser = signed_in(app, shop["admin"])
    browser.get("/")
    before = database_snapshot(database)
    for rule, _ in rules_of(app, "POST"):
        for form, site in (({}, "same-origin"), ({"csrf_token": browser._token}, "cross-site")):
            answer = browser.client.post(
                path_of(rule.rule), data=form, headers={"Sec-Fetch-Site": site}
            )
            assert answer.status_code == 403, (rule.rule, site)
    assert database_snapshot(database) == before


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_who_is_not_signed_in_is_sent_to_the_login_page(app, database, shop, clock, method):
    private = [pair for pair in rules_of(app, method) if pair[1].signed_in]
    assert len(private) > 8
    suspended = signed_in(app, shop["owner"])
    with database.transaction() as session:
        session.get_one(User, shop["owner"].id).suspended_at = clock()
    for browser in (Browser(app), suspended):
        answers = statuses(browser, private, method, database)
        assert set(answers.values()) == {303}, answers
        assert browser.page.headers["Location"].startswith("/login")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_who_has_not_the_role_is_refused(app, database, shop, method):
    for role, person in ((Role.CUSTOMER, "stranger"), (Role.SELLER, "other_seller")):
        closed = [
            (rule, guard)
            for rule, guard in rules_of(app, method)
            if guard.roles and role not in guard.roles
        ]
        assert closed
        answers = statuses(signed_in(app, shop[person]), closed, method, database)
        assert set(answers.values()) == {403}, answers


OPEN_TO_ALL = {"/p/<id:product_id>", "/p/<id:product_id>/comments"}
"""What has an id and is nobody's secret."""

FRAGMENTS = {"/my/orders/<id:order_id>/pay/status"}
"""A part of a page; asked for as a whole page it sends everybody there, unread."""


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_attack_34_what_is_anothers_is_not_there(app, database, shop, method):
    for person in ("stranger", "other_seller"):
        role = Role(shop[person].role)
        named = [
            (rule, guard)
            for rule, guard in rules_of(app, method)
            if "<id:" in rule.rule
            and rule.rule not in OPEN_TO_ALL
            and rule.rule not in FRAGMENTS
            and (not guard.roles or role in guard.roles)
        ]
        answers = statuses(
            signed_in(app, shop[person]), named, method, database, {"status": "done"}
        )
        assert set(answers.values()) <= {403, 404}, (person, answers)
        htmx = signed_in(app, shop[person])
        htmx.headers = {"HX-Request": "true"}
        assert {htmx.get(path_of(rule)).status_code for rule in FRAGMENTS} == {404}


def test_looking_at_any_page_changes_nothing_and_every_page_opens(app, database, shop):
    browser = signed_in(app, shop["admin"])
    answers = statuses(browser, rules_of(app, "GET"), "GET", database)
    failed = {rule: status for rule, status in answers.items() if status >= 500}
    assert failed == {}
    owner = signed_in(app, shop["owner"])
    own = [pair for pair in rules_of(app, "GET") if not pair[1].roles]
    shown = statuses(owner, own, "GET", database)
    assert {rule: status for rule, status in shown.items() if status not in {200, 303}} == {}
