"""Webhooks in the office: an admin's, with a secret that is shown once."""

import re
from html import unescape

import pytest
from sqlalchemy import select

from app.jobs.deliver_webhooks import deliver_due_webhooks
from app.jobs.work import Work
from app.models import (
    DeliveryState,
    DisabledReason,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEvent,
)
from app.policies import Role
from app.ports import WebhookAnswer
from app.services.webhooks.emit import keep_event
from app.services.webhooks.event_types import EventType
from app.web.office.words import EVENT_WORDS
from tests.core import after, buy, database_snapshot, make_buyer
from tests.factories import NOW, make_delivery, make_product, make_user, make_webhook
from tests.web.browsing import Browser, signed_in, words

URL = "https://erp.example.co.ke/hook"
_SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]+")


@pytest.fixture
def user(database):
    with database.transaction() as session:
        return make_user(session, Role.ADMIN)


@pytest.fixture
def admin(app, user):
    return signed_in(app, user)


@pytest.fixture
def endpoint(database, user):
    with database.transaction() as session:
        return make_webhook(session, user, url=URL, description="The bookkeeping")


@pytest.fixture
def work(database, ports, config) -> Work:
    return Work(database, ports, config)


def stored(database, row):
    with database.reading() as session:
        return session.get_one(type(row), row.id)


def endpoints(database) -> list[WebhookEndpoint]:
    with database.reading() as session:
        return list(session.scalars(select(WebhookEndpoint).order_by(WebhookEndpoint.id)))


def test_a_webhook_is_added_and_its_secret_shown_this_once(admin, database):
    assert "No webhooks yet" in words(admin.get("/office/webhooks"))
    admin.get("/office/webhooks/new")
    form = {"url": URL, "description": "Books", "which": "all"}
    made = admin.post("/office/webhooks/new", form)
    (endpoint,) = endpoints(database)
    assert (endpoint.url, endpoint.description, endpoint.event_types) == (URL, "Books", None)
    assert made.status_code == 200
    assert made.headers["Cache-Control"] == "no-store"
    assert unescape(_SECRET.search(made.text)[0]) == endpoint.secret
    for path in ("/office/webhooks", f"/office/webhooks/{endpoint.id}"):
        shown = admin.get(path)
        assert "Books" in words(shown)
        assert "whsec_" not in shown.text
    again = admin.post("/office/webhooks/new", form)  # as when the page is loaded anew
    assert again.status_code == 409
    assert "There is a webhook with this address already." in words(again)
    assert len(endpoints(database)) == 1


def test_types_are_chosen_by_ticking(admin, database):
    page = admin.get("/office/webhooks/new")
    for kind in EventType:
        assert f'name="{kind}" value="true"' in page.text
    form = {"url": URL, "which": "some", "order.paid": "true", "task.filed": "true"}
    assert admin.post("/office/webhooks/new", form).status_code == 200
    (endpoint,) = endpoints(database)
    assert endpoint.event_types == ["order.paid", "task.filed"]
    shown = admin.get(f"/office/webhooks/{endpoint.id}")
    ticked = re.findall(r'name="([\w.]+)" value="true" checked', shown.text)
    assert ticked == ["order.paid", "task.filed"]


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"which": "all"}, "Missing data for required field."),
        ({"url": "https://127.0.0.1/", "which": "all"}, "Name a host that anybody"),
        ({"url": "http://0x7f.1/", "which": "all"}, "Name a host that anybody"),
        ({"url": "https://inside.example/", "which": "all"}, "leads to a machine that not"),
        ({"url": URL, "which": "some"}, "Tick at least one."),
        ({"url": URL, "which": "most"}, "Choose one of these."),
        ({"url": URL, "which": "all", "description": "x" * 201}, "at most 200 characters"),
    ],
)
def test_what_is_wrong_with_an_address_is_said_beside_it(
    admin, database, webhooks, endpoint, form, said
):
    webhooks.closed.add("inside.example")
    before = database_snapshot(database)
    for path in ("/office/webhooks/new", f"/office/webhooks/{endpoint.id}"):
        admin.get("/office/webhooks/new")
        refused = admin.post(path, form)
        assert refused.status_code == 400, path
        assert said in words(refused)
        assert 'role="alert"' in refused.text
    assert database_snapshot(database) == before
    assert webhooks.sent == []


def test_what_was_written_is_shown_again_and_nothing_else(admin, database, user):
    with database.transaction() as session:
        endpoint = make_webhook(session, user, event_types=["order.paid"], description="Books")
    place = f"/office/webhooks/{endpoint.id}"
    admin.get(place)
    form = {"url": "https://localhost/", "which": "some", "task.filed": "true"}
    refused = admin.post(place, form)
    assert refused.status_code == 400
    assert re.findall(r'name="([\w.]+)" value="true" checked', refused.text) == ["task.filed"]
    assert 'value="https://localhost/"' in refused.text
    again = admin.post(f"{place}/replay", {"since": "soon"})
    assert re.findall(r'name="([\w.]+)" value="true" checked', again.text) == ["order.paid"]
    assert f'value="{endpoint.url}"' in again.text


def test_nobody_but_an_admin_comes_near_them(app, database, endpoint):
    with database.transaction() as session:
        people = [make_user(session, role) for role in (Role.SELLER, Role.CUSTOMER)]
    browsers = [signed_in(app, person) for person in people]
    before = database_snapshot(database)
    for browser in browsers:
        assert browser.get("/office/webhooks").status_code == 403
        assert browser.post(f"/office/webhooks/{endpoint.id}/test").status_code == 403
        assert "/office/webhooks" not in browser.get("/office").text
    assert Browser(app).get("/office/webhooks").status_code == 303
    assert database_snapshot(database) == before


def test_a_webhook_is_changed_disabled_enabled_and_removed(admin, database, endpoint):
    place = f"/office/webhooks/{endpoint.id}"
    admin.get(place)
    form = {"url": URL + "2", "description": "", "which": "some", "order.paid": "true"}
    saved = admin.post(place, form, follow=True)
    assert "The webhook is saved." in words(saved)
    kept = stored(database, endpoint)
    assert (kept.url, kept.description, kept.event_types) == (URL + "2", "", ["order.paid"])
    off = admin.post(f"{place}/state", {"enabled": "false"}, follow=True)
    for there in ("Disabled", "An admin disabled it.", "Enable it"):
        assert there in words(off), there
    for gone in ("Send a test", "Send what it missed"):
        assert gone not in words(off), gone
    on = admin.post(f"{place}/state", {"enabled": "true"}, follow=True)
    assert "Send a test" in words(on)
    assert "The webhook is removed." in words(admin.post(f"{place}/delete", follow=True))
    assert admin.get(place).status_code == 404


def test_why_the_shop_disabled_one_is_said(admin, database):
    for reason, said in (
        (DisabledReason.GONE, "It answered that it wants no more (410)."),
        (DisabledReason.FAILING, "Nothing arrived there for three days."),
    ):
        with database.transaction() as session:
            closed = make_webhook(session, disabled_at=NOW, disabled_reason=reason)
        assert said in words(admin.get(f"/office/webhooks/{closed.id}"))
        assert said in words(admin.get("/office/webhooks"))


def test_a_new_secret_is_shown_once_and_a_page_loaded_anew_makes_no_other(
    admin, database, endpoint
):
    place = f"/office/webhooks/{endpoint.id}"
    page = admin.get(place)
    seen = re.search(r'name="seen_version" value="(\d+)"', page.text)[1]
    shown = admin.post(f"{place}/secret", {"seen_version": seen})
    kept = stored(database, endpoint)
    assert unescape(_SECRET.search(shown.text)[0]) == kept.secret != endpoint.secret
    assert "Until then the old secret is good as well: 23 Nov 2026, 12:00" in words(shown)
    again = admin.post(f"{place}/secret", {"seen_version": seen})
    assert again.status_code == 409
    assert "The secret was changed meanwhile." in words(again)
    assert "whsec_" not in again.text
    assert stored(database, endpoint).secret == kept.secret
    assert admin.post(f"{place}/secret").status_code == 400


def test_a_test_arrives_and_its_body_and_answer_are_shown(
    admin, database, endpoint, webhooks, work
):
    webhooks.answers[URL] = WebhookAnswer(status=500, duration_ms=41, text="<b>Oops</b>")
    place = f"/office/webhooks/{endpoint.id}"
    admin.get(place)
    sent = admin.post(f"{place}/test", follow=True)
    assert "A test is on its way." in words(sent)
    deliver_due_webhooks(work)
    shown = words(admin.get(place))
    for there in ("test", "Waiting", "500", "Failing since"):
        assert there in shown, there
    delivery = admin.get(f"{place}/deliveries/1")
    for there in ("A test", '"message": "It works"', "500", "41 ms", "<b>Oops</b>", "Next try"):
        assert there in words(delivery), there
    assert "<b>Oops" not in delivery.text
    with database.reading() as session:
        assert session.scalars(select(WebhookEvent.public_id)).one() in delivery.text


def test_deliveries_are_shown_by_what_became_of_them_and_page_by_page(admin, database, endpoint):
    with database.transaction() as session:
        one = session.merge(endpoint)
        for _ in range(21):
            make_delivery(session, one)
        lost = make_delivery(
            session, one, state=DeliveryState.FAILED, next_attempt_at=None, attempt_count=10
        )
    place = f"/office/webhooks/{endpoint.id}"

    def shown(query: str) -> list[int]:
        found = re.findall(rf'{place}/deliveries/(\d+)"', admin.get(place + query).text)
        return [int(number) for number in found]

    assert shown("?state=failed") == [lost.id]
    assert shown("?state=delivered") == []
    assert len(shown("")) == 20
    onward = re.search(r'rel="next" href="([^"]+)"', admin.page.text or "")
    assert onward is not None
    assert len(shown(unescape(onward[1]).removeprefix(place))) == 2
    assert len(shown("?state=nonsense")) == 20


def test_one_is_sent_again_and_so_is_what_was_missed_since_a_day(admin, database, endpoint):
    place = f"/office/webhooks/{endpoint.id}"
    with database.transaction() as session:
        one = session.merge(endpoint)
        done = {"state": DeliveryState.DELIVERED, "next_attempt_at": None}
        arrived = make_delivery(session, one, **done)
        keep_event(session, EventType.ORDER_PAID, {"id": 1}, after(days=-1))
    page = admin.get(f"{place}/deliveries/{arrived.id}")
    assert "It keeps its id" in words(page)
    again = admin.post(f"{place}/deliveries/{arrived.id}/replay", follow=True)
    assert "It is on its way again." in words(again)
    assert stored(database, arrived).state == "pending"
    admin.get(place)
    missed = admin.post(f"{place}/replay", {"since": "2026-11-20"}, follow=True)
    assert "2 events are on their way." in words(missed)
    with database.reading() as session:
        assert len(session.scalars(select(WebhookDelivery)).all()) == 2
    admin.post(f"{place}/replay", {"since": "2026-11-22", "include_delivered": "true"}, follow=True)
    assert "1 event is on its way." in words(admin.page)
    before = database_snapshot(database)
    for form in ({}, {"since": "soon"}, {"since": "2026-11-20", "types": "all"}):
        assert admin.post(f"{place}/replay", form).status_code == 400
    assert database_snapshot(database) == before


def test_a_delivery_leads_to_the_order_that_it_tells_of(admin, database, endpoint):
    with database.transaction() as session:
        order = buy(session, make_buyer(session), (make_product(session), 1))
    page = admin.get(f"/office/webhooks/{endpoint.id}/deliveries/1")
    assert f'href="/office/orders/{order.id}"' in page.text
    assert '"type": "order.placed"' in words(page)
    assert admin.get(f"/office/webhooks/{endpoint.id}/deliveries/2").status_code == 404


def test_every_type_has_words_for_people():
    assert set(EVENT_WORDS) == {*EventType, "test"}


def test_the_pages_speak_swahili(admin, endpoint):
    admin.client.set_cookie("sokoni_language", "sw")
    for path, said in (
        ("/office/webhooks", "Ongeza webhook"),
        ("/office/webhooks/new", "Iongeze na uonyeshe siri yake"),
        (f"/office/webhooks/{endpoint.id}", "Tuma jaribio"),
    ):
        assert said in words(admin.get(path)), path
