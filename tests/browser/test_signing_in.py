"""The login page and registration, in Chromium."""

import pytest
from playwright.sync_api import expect
from sqlalchemy import select

from app.models import User
from tests.e2e.shop import PASSWORD

NAME = "Phone number, e-mail or username"


@pytest.fixture(scope="module")
def amina(shop):
    return shop.sign_up("amina", shop.phone("5678"))


def type_in(visitor, name, password):
    visitor.page.get_by_label(NAME).fill(name)
    visitor.page.get_by_label("Password").fill(password)
    visitor.page.locator("main").get_by_role("button", name="Sign in").click()


def cookie_of(visitor):
    return next((one for one in visitor.context.cookies() if one["name"] == "sokoni"), None)


def test_the_right_password_opens_the_account_and_signing_out_closes_it(visit, amina):
    visitor = visit()
    visitor.go("/login")
    visitor.has_no_serious_fault()
    type_in(visitor, amina.username, PASSWORD)
    expect(visitor.page.get_by_role("link", name="Account")).to_be_visible()
    assert visitor.path == "/"
    cookie = cookie_of(visitor)
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    visitor.go("/account")
    visitor.page.get_by_role("button", name="Sign out", exact=True).click()
    expect(visitor.page.get_by_role("link", name="Sign in")).to_be_visible()
    assert cookie_of(visitor) is None
    visitor.context.add_cookies([cookie])  # a copy of it is dead as well
    visitor.go("/account")
    assert visitor.path == "/login?next=/account"


def test_every_name_of_the_account_opens_it(visit, amina):
    for name in (f"{amina.username}@shop.example", "0" + amina.phone.removeprefix("254")):
        visitor = visit()
        visitor.go("/login")
        type_in(visitor, name, PASSWORD)
        expect(visitor.page.get_by_role("link", name="Account")).to_be_visible()


def test_a_wrong_password_is_said_at_the_form_and_nobody_is_signed_in(visit, amina):
    visitor = visit()
    visitor.go("/login")
    type_in(visitor, amina.username, "not the password")
    expect(visitor.page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    expect(visitor.page.get_by_label(NAME)).to_have_value(amina.username)
    expect(visitor.page.get_by_label("Password")).to_have_value("")
    assert cookie_of(visitor) is None


def test_who_guesses_has_to_wait_also_with_the_right_password(visit, shop):
    guessed = shop.sign_up("guessed", shop.phone("5678"))
    visitor = visit()
    visitor.go("/login")
    for number in range(5):
        type_in(visitor, guessed.username, f"guess {number}")
        expect(visitor.page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    type_in(visitor, guessed.username, PASSWORD)
    expect(visitor.page.get_by_role("alert")).to_contain_text("Too many attempts.")
    assert cookie_of(visitor) is None


def test_signing_in_leads_back_to_where_one_was_going(visit, amina):
    visitor = visit()
    visitor.go("/account/notifications")
    assert visitor.path == "/login?next=/account/notifications"
    type_in(visitor, amina.username, PASSWORD)
    visitor.page.wait_for_url("**/account/notifications")


@pytest.mark.parametrize("elsewhere", ["//evil.example/", "/\\evil.example", "https:evil.example"])
def test_attack_93_signing_in_leads_to_no_other_site(visit, amina, elsewhere):
    visitor = visit()
    visitor.go(f"/login?next={elsewhere}")
    type_in(visitor, amina.username, PASSWORD)
    expect(visitor.page.get_by_role("link", name="Account")).to_be_visible()
    assert visitor.path == "/"


def test_a_form_whose_token_was_changed_signs_nobody_in(visit, amina):
    visitor = visit()
    visitor.go("/login")
    visitor.page.locator("main [name=csrf_token]").evaluate("field => field.value += 'x'")
    type_in(visitor, amina.username, PASSWORD)
    visitor.reads("This form is too old, or another page sent it.")
    assert cookie_of(visitor) is None


def test_somebody_new_registers_and_is_signed_in(visit, shop):
    visitor = visit()
    visitor.go("/register?next=/basket")
    visitor.has_no_serious_fault()
    form = visitor.page.locator("main form")
    form.get_by_label("Username").fill("mgeni.mpya")
    form.get_by_label("E-mail").fill("mgeni@shop.example")
    form.get_by_label("M-Pesa phone number").fill("0722 123")
    form.get_by_label("Password").fill(PASSWORD)
    form.get_by_role("button", name="Make an account").click()
    visitor.reads("Not a Kenyan mobile number")
    expect(form.get_by_label("Username")).to_have_value("mgeni.mpya")
    form.get_by_label("M-Pesa phone number").fill("0722 123 456")
    form.get_by_label("Password").fill(PASSWORD)
    form.get_by_role("button", name="Make an account").click()
    visitor.page.wait_for_url("**/basket")
    expect(visitor.page.get_by_role("link", name="Account")).to_be_visible()
    with shop.database.reading() as session:
        made = session.scalars(select(User).where(User.username == "mgeni.mpya")).one()
    assert (made.email, made.phone_number, made.role) == (
        "mgeni@shop.example",
        "254722123456",
        "customer",
    )
