"""How often a browser may have phones asked to pay."""

from dataclasses import replace

import pytest

from app.jobs.check_payment import failure_of
from app.services.fail_payment import fail_payment
from tests.core import buy, database_snapshot, differing_tables, make_buyer
from tests.factories import NOW, make_product
from tests.web.browsing import signed_in, words


@pytest.fixture
def config(config):
    return replace(config, rate_limits_enabled=True, prompt_user_limit="1 per hour")


def test_attack_86_the_pages_count_with_the_api_how_often_one_user_rings(app, database, gateway):
    with database.transaction() as session:
        buyer = make_buyer(session)
        order = buy(session, buyer, (make_product(session), 1))
    browser = signed_in(app, buyer)
    path, form = f"/my/orders/{order.id}/pay", {"phone_number": "0700000001"}
    assert browser.post(path, form).status_code == 303
    with database.transaction() as session:
        fail_payment(session, 1, failure_of("1037", "", source="callback"), NOW)
    before = database_snapshot(database)

    answer = browser.post(path, form)
    assert answer.status_code == 429
    assert "You asked for many payments in a short time." in words(answer)
    assert 1 <= int(answer.headers["Retry-After"]) <= 3600
    assert len(gateway.pushes) == 1
    assert differing_tables(before, database_snapshot(database)) <= {"rate_counters"}
