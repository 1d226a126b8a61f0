"""The office's first page: figures, plots, and who finds which sections."""

import re
from datetime import date, timedelta

import pytest

from app.policies import Role
from app.web.office.plots import HEIGHT, Series, draw, round_top, short
from tests.core import after, ask_to_pay, buy, make_buyer, pay
from tests.factories import NOW, make_product, make_user
from tests.web.browsing import Browser, signed_in, words

DAYS = [date(2026, 10, 24) + timedelta(days=place) for place in range(30)]


@pytest.fixture
def people(app, database):
    """A browser for each role; the seller has sold boots, another seller socks."""
    with database.transaction() as session:
        users = {
            "admin": make_user(session, Role.ADMIN),
            "seller": make_user(session, Role.SELLER),
            "customer": make_user(session, Role.CUSTOMER),
        }
        boots = make_product(
            session, users["seller"], name="<b>Boots</b>", stock=2, low_stock_threshold=5
        )
        socks = make_product(session, price_cents=123_400)
        for product, at in ((boots, NOW), (socks, NOW), (boots, after(days=-1))):
            order = buy(session, make_buyer(session), (product, 1), now=at)
            pay(session, ask_to_pay(session, order, at), at)
    return {name: signed_in(app, user) for name, user in users.items()}


def sections(answer) -> list[str]:
    nav = re.search(r'<nav class="sections".*?</nav>', answer.text, re.DOTALL)[0]
    return re.findall(r'<a href="([^"]+)"', nav)


def test_who_may_see_the_office(app, people):
    assert Browser(app).get("/office").headers["Location"] == "/login?next=/office"
    assert people["customer"].get("/office").status_code == 403
    assert people["seller"].get("/office").status_code == 200
    assert people["admin"].get("/office").headers["Cache-Control"] == "no-store"


def test_a_seller_sees_their_own_figures_and_an_admin_all(people):
    theirs = words(people["seller"].get("/office"))
    assert "Sold today KSh 1,500 1 order paid, 1 placed Yesterday: KSh 1,500" in theirs
    assert "Last 7 days KSh 3,000 2 orders paid" in theirs
    assert ("2 orders to send" in theirs, "payment" in theirs, "task" in theirs) == (
        True,
        False,
        False,
    )
    assert "<b>Boots</b> Sold out" in theirs

    everything = words(people["admin"].get("/office"))
    assert "Sold today KSh 2,734 2 orders paid, 2 placed Yesterday: KSh 1,500" in everything
    assert "Last 30 days KSh 4,234 3 orders paid" in everything
    assert "3 orders to send" in everything
    assert "Paid: 3 Cancelled: 0 Failed: 0 No answer: 0" in everything


def test_each_finds_the_sections_that_open_for_them(people):
    theirs, everything = (sections(people[name].get("/office")) for name in ("seller", "admin"))
    assert theirs[:2] == everything[:2] == ["/office", "/office/orders"]
    assert ("/office/payments" in theirs, "/office/payments" in everything) == (False, True)
    page = people["admin"].get("/office/payments").text
    assert re.findall(r'<a href="([^"]+)" aria-current="(?:page|true)"><svg', page) == [
        "/office/payments"
    ]


def test_plots_are_drawn_without_scripts_or_styles_and_stand_as_tables_as_well(people):
    text = people["admin"].get("/office").text
    assert text.count('role="img"') == 2
    assert ("style=" in text, "<style" in text, "onclick" in text) == (False, False, False)
    assert text.count('<tr><th scope="row">') == 60
    assert text.count('<rect class="plot-sales"') == 2  # a day without sales has no bar


def test_a_plot_stacks_its_series_and_leaves_gaps_where_nothing_was():
    paid = Series("succeeded", "Paid", [0] * 28 + [3, 1])
    failed = Series("failed", "Failed", [0] * 28 + [0, 3])
    plot = draw(DAYS, [paid, failed])
    assert [(bar.kind, bar.height) for bar in plot.bars] == [
        ("succeeded", HEIGHT * 3 / 4),
        ("succeeded", HEIGHT / 4),
        ("failed", HEIGHT * 3 / 4),
    ]
    assert [line.label for line in plot.lines] == ["0", "2", "4"]
    low, high = plot.bars[1:]
    assert (low.x, low.y) == (high.x, high.y + high.height)
    assert plot.bars[0].title == "21 Nov: Paid 3"
    assert [day.label for day in plot.labels] == ["22 Nov", "12 Nov", "2 Nov"]
    assert draw(DAYS, [Series("sales", "KSh", [0] * 30)]).bars == []


def test_a_scale_ends_at_a_round_number_whose_half_is_whole():
    assert {value: round_top(value) for value in (0, 1, 2, 3, 9, 10, 11, 8_001, 99_999)} == {
        0: 2,
        1: 2,
        2: 2,
        3: 4,
        9: 10,
        10: 10,
        11: 20,
        8_001: 10_000,
        99_999: 100_000,
    }
    shown = [short(value) for value in (0, 500, 1_000, 30_000, 1_500, 2_000_000)]
    assert shown == ["0", "500", "1k", "30k", "1,500", "2M"]


def test_the_page_is_made_in_swahili_as_well(people):
    browser = people["seller"]
    browser.headers = {"Accept-Language": "sw"}
    answer = browser.get("/office")
    assert (answer.status_code, '<html lang="sw">' in answer.text) == (200, True)
