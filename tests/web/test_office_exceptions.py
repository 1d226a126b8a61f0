"""What only a person can decide about money, in the office: found, understood, decided."""

import re

import pytest
from sqlalchemy import select

from app.models import MONEY_TASKS, Decision, Notification, Order, Payment, Task
from app.policies import Role
from app.services.exceptions import Action, read_exception
from app.web.office.exception_words import ACTION_WORDS, EXCEPTION_WORDS
from tests.core import after, database_snapshot, differing_tables
from tests.factories import NOW, actor_of, make_user
from tests.looking import is_sound
from tests.matters import (
    EVERY_KIND,
    claimed,
    comes_in,
    different,
    disputed,
    found_paid,
    given_up,
    late,
    new_order,
    stuck,
    the_task,
    two_receipts,
    unmatched,
    wrong_amount,
)
from tests.web.browsing import Browser, signed_in, words

WHY = "It is on the statement."


@pytest.fixture
def users(database):
    with database.transaction() as session:
        return {
            "admin": make_user(session, Role.ADMIN, username="mkuu"),
            "seller": make_user(session, Role.SELLER, username="duka"),
        }


@pytest.fixture
def admin(app, users):
    return signed_in(app, users["admin"])


def made(database, make) -> Task:
    with database.transaction() as session:
        return make(session)


def stored(database, model, row_id):
    with database.reading() as session:
        return session.get_one(model, row_id)


def last_decision(database, task) -> tuple:
    with database.reading() as session:
        mine = select(Decision).where(Decision.task_id == task.id).order_by(Decision.id.desc())
        found = session.scalars(mine.limit(1)).one()
        return found.actor_id, found.action, found.reason


def test_who_may_see_what_is_to_be_decided(app, users, database, admin):
    task = made(database, unmatched)
    seller = signed_in(app, users["seller"])
    for address in ("/office/exceptions", f"/office/exceptions/{task.id}"):
        assert seller.get(address).status_code == 403
        assert Browser(app).get(address).status_code == 303
        assert admin.get(address).status_code == 200
    assert admin.get("/office/exceptions/999999").status_code == 404
    assert "/office/exceptions" not in seller.get("/office").text


def test_the_queue_shows_what_waits_how_much_how_long_and_who(database, admin, users, clock):
    debt = made(database, late)
    with database.transaction() as session:
        money = unmatched(session, cents=99_950)
        money.assignee_id = users["admin"].id
    clock.advance(days=3)
    shown = admin.get("/office/exceptions")
    said = words(shown)

    assert (
        "2 matters of money wait, the oldest is 3 days old. In all they are about KSh 2,499.50"
        in said
    )
    assert "Money came late KSh 1,500 Refund KES 1500" in said
    assert "Money without an order KSh 999.50 KES 999.5 came" in said
    assert "3 days old · Nobody yet · Order" in said
    assert "3 days old · mkuu" in said
    assert shown.text.index("Money came late</a>") < shown.text.index("Money without an order</a>")
    by_money = admin.get("/office/exceptions?sort=most_money&decided=false&age=1").text
    assert by_money.index("Money came late</a>") < by_money.index("Money without an order</a>")
    for query, ids in (
        ("kind=late_money", {debt.id}),
        ("assignee=nobody", {debt.id}),
        (f"assignee={users['admin'].id}", {money.id}),
        ("age=7", set()),
        ("decided=true", set()),
    ):
        found = admin.get(f"/office/exceptions?{query}").text
        assert {int(one) for one in re.findall(r'href="/office/exceptions/(\d+)"', found)} == ids
    for wrong in ("kind=manual", "age=2", "assignee=me", "sort=newest", "cursor=x"):
        assert admin.get(f"/office/exceptions?{wrong}").status_code == 400, wrong
    today = words(admin.get("/office"))
    assert "2 matters of money to decide the oldest is 3 days old" in today
    assert "0 tasks that the shop filed" in today


def test_an_empty_queue_says_so(admin):
    assert "Nothing to decide" in words(admin.get("/office/exceptions"))
    assert "0 matters of money to decide" in words(admin.get("/office"))


@pytest.mark.parametrize("name", EVERY_KIND)
def test_each_kind_has_a_page_with_a_form_for_each_thing_that_can_be_done(
    database, admin, users, name
):
    task = made(database, EVERY_KIND[name])
    with database.reading() as session:
        actions = read_exception(session, actor_of(users["admin"]), task.id, NOW).actions
    before = database_snapshot(database)
    for language in ("en", "sw"):
        admin.client.set_cookie("sokoni_language", language)
        shown = admin.get(f"/office/exceptions/{task.id}")
        assert shown.status_code == 200
        assert set(re.findall(r'<details class="panel[^"]*" id="(\w+)"', shown.text)) == set(
            actions
        )
        ids = re.findall(r' id="([^"]+)"', shown.text)
        assert len(ids) == len(set(ids)), "each id stands once"
    assert database_snapshot(database) == before


def test_a_payer_is_shown_no_further_than_needed(database, admin):
    task = made(database, unmatched)
    shown = words(admin.get(f"/office/exceptions/{task.id}"))
    assert "Typed as account BOOTS Phone 2547****333 Name JANE W. D." in shown
    assert "254711222333" not in admin.page.text
    assert "WANJIKU" not in admin.page.text


def test_money_is_given_to_a_suggested_order_after_a_look_at_what_it_does(database, admin, users):
    with database.transaction() as session:
        order = new_order(session)
        typed = order.number[:-1] + ("2" if order.number[-1] != "2" else "3")
        comes_in(session, "UKC0000001", 170_000, typed, now=NOW)
        task = the_task(session, "unmatched_money")
    page = admin.get(f"/office/exceptions/{task.id}")
    assert f"{order.number} : Its number is one slip of the finger away." in words(page)
    before = database_snapshot(database)
    looked = admin.get(f"/office/exceptions/{task.id}/attach?order_number={order.number}")
    said = words(looked)
    assert f"KSh 1,700 for order {order.number}?" in said
    assert "It pays the order. KSh 200 is too much: it will be owed back to the buyer." in said
    assert 'name="expected" value="pays"' in looked.text
    assert database_snapshot(database) == before

    form = {"order_number": order.number, "expected": "pays", "reason": "She called."}
    done = admin.post(f"/office/exceptions/{task.id}/attach", form, follow=True)
    assert "The order is paid. The buyer is told." in words(done)
    assert "Given to an order" in words(done)
    assert f"Order {order.number} To be sent We owe the buyer" in words(done)
    assert "What you can do" not in words(done)
    assert stored(database, Order, order.id).status == "paid"
    assert last_decision(database, task)[:2] == (users["admin"].id, "matched")
    again = admin.post(f"/office/exceptions/{task.id}/attach", form)
    assert again.status_code == 409
    assert "cannot be done here now" in words(again)
    assert is_sound(database, after(days=2))


def test_an_order_that_changed_meanwhile_is_shown_anew(database, admin):
    with database.transaction() as session:
        task, order = unmatched(session), new_order(session)
        comes_in(session, "UKOTHER001", 150_000, order.number)
    before = database_snapshot(database)
    form = {"order_number": order.number, "expected": "pays"}
    answer = admin.post(f"/office/exceptions/{task.id}/attach", form)
    assert answer.status_code == 409
    assert "The order has changed meanwhile" in words(answer)
    assert "The order takes no more money (To be sent): all of it" in words(answer)
    assert 'name="expected" value="owed_back"' in answer.text
    assert database_snapshot(database) == before


@pytest.mark.parametrize("number", ["", "NOSUCH", "%3Cscript%3E"])
def test_a_number_that_no_order_has_is_marked(database, admin, number):
    task = made(database, unmatched)
    answer = admin.get(f"/office/exceptions/{task.id}/attach?order_number={number}")
    assert answer.status_code == 400
    assert 'id="e-attach-order_number"' in answer.text
    assert "There is no order with this number." in words(answer)
    assert "<script>" not in answer.text.replace("<script src", "")


FORMS = [
    (given_up, "paid", {"mpesa_receipt": "uk seen 0001", "reason": WHY}, "The money is counted."),
    (given_up, "not-paid", {"reason": WHY}, "It is not paid, and the buyer is told."),
    (found_paid, "receipt", {"mpesa_receipt": "UKSEEN0001", "reason": WHY}, "The receipt is"),
    (disputed, "is-there", {"reason": WHY}, "The goods may go."),
    (disputed, "not-there", {"reason": WHY}, "The money is out of the books"),
    (different, "correct", {"amount": "KSh 1,000", "reason": WHY}, "The amount is corrected."),
    (two_receipts, "dismiss", {"reason": WHY}, "It is closed."),
    (unmatched, "dismiss", {"reason": WHY}, "It is closed."),
    (claimed, "not-paid", {"reason": WHY}, "It is not paid"),
]


@pytest.mark.parametrize(("make", "path", "form", "said"), FORMS)
def test_each_form_decides_and_is_written_down(database, admin, users, make, path, form, said):
    task = made(database, make)
    admin.get(f"/office/exceptions/{task.id}")
    answer = admin.post(f"/office/exceptions/{task.id}/{path}", form, follow=True)

    assert said in words(answer)
    assert stored(database, Task, task.id).status == "done"
    actor_id, _, reason = last_decision(database, task)
    assert (actor_id, WHY in reason) == (users["admin"].id, True)
    assert "by mkuu" in words(answer)
    assert is_sound(database, after(days=2))
    once = database_snapshot(database)
    again = admin.post(f"/office/exceptions/{task.id}/{path}", form)
    assert again.status_code == 409
    assert "This was decided meanwhile." in words(again)
    assert database_snapshot(database) == once


def test_a_form_that_is_wrong_is_shown_again_open_with_what_was_written(database, admin):
    task = made(database, wrong_amount)
    before = database_snapshot(database)
    admin.get(f"/office/exceptions/{task.id}")
    for path, form, field in (
        ("paid", {"reason": "I saw it", "mpesa_receipt": "UK-1"}, "paid-mpesa_receipt"),
        (
            "paid",
            {"reason": "I saw it", "mpesa_receipt": "UKSEEN0001", "amount": "x"},
            "paid-amount",
        ),
        ("paid", {"mpesa_receipt": "UKSEEN0001"}, "paid-reason"),
        ("not-paid", {"reason": "no"}, "not_paid-reason"),
    ):
        answer = admin.post(f"/office/exceptions/{task.id}/{path}", form)
        assert answer.status_code == 400, (path, form)
        assert f'id="e-{field}"' in answer.text
        action = field.partition("-")[0]
        assert f'id="{action}" open>' in answer.text
        assert form.get("reason", "") in answer.text
    refused = admin.post(f"/office/exceptions/{task.id}/dismiss", {"reason": WHY})
    assert (refused.status_code, "This needs a decision first" in words(refused)) == (409, True)
    assert database_snapshot(database) == before


def test_money_that_is_owed_is_sent_back_before_it_can_be_closed(database, admin):
    task = made(database, late)
    shown = admin.get(f"/office/exceptions/{task.id}")
    assert "Send KSh 1,500 back" in words(shown)
    way = f"/office/payments/{task.payment_id}?refund=1500"
    assert f'href="{way}#refund"' in shown.text
    form = admin.get(way).text
    assert re.search(r'<input id="f-amount"[^>]* value="1500"', form)
    for odd in ("1e3", "-5", "%3Cb%3E", ""):
        plain = admin.get(f"/office/payments/{task.payment_id}?refund={odd}")
        assert re.search(r'<input id="f-amount"[^>]* value=""', plain.text), odd
    before = database_snapshot(database)
    refused = admin.post(f"/office/exceptions/{task.id}/dismiss", {"reason": WHY})
    assert (refused.status_code, "The shop still owes this money" in words(refused)) == (409, True)
    assert database_snapshot(database) == before


def test_money_without_an_order_leads_to_the_form_that_sends_it_back(database, admin):
    task = made(database, unmatched)
    shown = admin.get(f"/office/exceptions/{task.id}").text
    assert 'href="/office/receipts/UKC0000001/refund"' in shown
    assert admin.get("/office/receipts/UKC0000001/refund").status_code == 200


def test_a_second_receipt_needs_its_amount(database, admin):
    task = made(database, two_receipts)
    shown = words(admin.get(f"/office/exceptions/{task.id}"))
    assert "Amount, in shillings As the statement shows it." in shown
    assert "Leave it empty" not in shown
    form = {"mpesa_receipt": "UKSECOND01", "reason": WHY}
    answer = admin.post(f"/office/exceptions/{task.id}/paid", form)
    assert (answer.status_code, 'id="e-paid-amount"' in answer.text) == (400, True)


def test_a_loss_is_told_before_it_is_written_down(database, admin):
    with database.transaction() as session:
        task = disputed(session)
        payment = session.get_one(Payment, task.payment_id)
        session.get_one(Order, payment.order_id).status = "delivered"
    said = words(admin.get(f"/office/exceptions/{task.id}"))
    assert "The order stays as it is. KSh 1,500 is written down as a loss." in said
    admin.post(f"/office/exceptions/{task.id}/not-there", {"reason": WHY})
    shown = words(admin.get(f"/office/payments/{payment.id}"))
    assert "Lost: believed, and never came Put right by a person" in shown
    assert "A person found that its money was not there." in shown


def test_a_stuck_message_is_tried_again_on_the_spot(database, admin):
    task = made(database, stuck)
    answer = admin.post(f"/office/exceptions/{task.id}/retry", {}, follow=True)
    assert "It is processed." in words(answer)
    assert stored(database, Task, task.id).status == "done"


def test_a_matter_is_given_to_somebody_with_a_day_and_a_note(database, admin, users):
    task = made(database, unmatched)
    form = {
        "assignee_id": users["seller"].id,
        "due_at": "2026-11-30",
        "priority": "normal",
        "status": "in_progress",
    }
    admin.get(f"/office/exceptions/{task.id}")
    saved = admin.post(f"/office/exceptions/{task.id}/task", form, follow=True)
    assert "The task is saved." in words(saved)
    kept = stored(database, Task, task.id)
    assert (kept.assignee_id, kept.status, kept.priority) == (
        users["seller"].id,
        "in_progress",
        "normal",
    )
    assert kept.due_at.isoformat() == "2026-11-30T20:59:59+00:00"
    with database.reading() as session:
        told = select(Notification.kind).where(Notification.user_id == users["seller"].id)
        assert session.scalars(told).all() == ["task_assigned"]
    before = database_snapshot(database)
    done = admin.post(f"/office/exceptions/{task.id}/task", {**form, "status": "done"})
    assert (done.status_code, "This is about money" in words(done)) == (409, True)
    assert database_snapshot(database) == before
    admin.post(f"/office/exceptions/{task.id}/note", {"note": "I called <b>her</b>."})
    assert differing_tables(before, database_snapshot(database)) == {"decisions"}
    assert "I called &lt;b&gt;her&lt;/b&gt;." in admin.get(f"/office/exceptions/{task.id}").text


def test_tasks_about_money_lead_to_their_page(app, database, admin, users):
    task = made(database, unmatched)
    sent = admin.get(f"/office/tasks/{task.id}")
    assert (sent.status_code, sent.headers["Location"]) == (303, f"/office/exceptions/{task.id}")
    listed = admin.get("/office/tasks").text
    assert f'href="/office/exceptions/{task.id}"' in listed
    assert f'action="/office/tasks/{task.id}/status"' not in listed
    with database.transaction() as session:
        session.merge(task).assignee_id = users["seller"].id
    seller = signed_in(app, users["seller"])
    shown = seller.get(f"/office/tasks/{task.id}")
    assert (shown.status_code, "An administrator decides it." in words(shown)) == (200, True)
    assert 'value="done"' not in shown.text
    assert f"/office/exceptions/{task.id}" not in seller.get("/office/tasks").text


def test_every_action_has_its_words():
    assert set(ACTION_WORDS) == set(Action)
    assert set(EXCEPTION_WORDS) == set(MONEY_TASKS)
