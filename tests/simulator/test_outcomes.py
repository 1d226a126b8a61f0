"""Every row of the table, driven over HTTP to its end."""

import httpx2
import pytest

from daraja_simulator.outcomes import DEFAULT, OUTCOMES, TABLE
from daraja_simulator.tables import distinct_tables

PREFIX = "25471234"
LONG_ENOUGH_SECONDS = 2400

# digits: HTTP status of the push and the error code it carries, the result codes of the callbacks
# in their order, whether money moved, what a query says in the end (None: nothing to query by)
FACTS = {
    "5678": (200, "", [0], True, "0"),
    "0000": (200, "", [1037], False, "1037"),
    "0001": (200, "", [1], False, "1"),
    "0002": (200, "", [2], False, "2"),
    "0003": (200, "", [3], False, "3"),
    "0004": (200, "", [4], False, "4"),
    "0008": (200, "", [8], False, "8"),
    "0017": (200, "", [17], False, "17"),
    "0026": (200, "", [26], False, "26"),
    "1001": (200, "", [1001], False, "1001"),
    "1019": (200, "", [1019], False, "1019"),
    "1025": (200, "", [1025], False, "1025"),
    "1031": (200, "", [1031], False, "1031"),
    "1032": (200, "", [1032], False, "1032"),
    "1036": (200, "", [1036], False, "1036"),
    "1037": (200, "", [1037], False, "1037"),
    "2001": (200, "", [2001], False, "2001"),
    "2006": (200, "", [2006], False, "2006"),
    "2028": (200, "", [2028], False, "2028"),
    "2029": (200, "", [2029], False, "2029"),
    "5003": (200, "", ["SFC_IC0003"], False, "SFC_IC0003"),
    "5555": (200, "", [5555], False, "5555"),
    "8006": (200, "", [8006], False, "8006"),
    "9999": (200, "", [9999], False, "9999"),
    "7001": (200, "", [], True, "0"),
    "7002": (200, "", [0], True, "0"),
    "7003": (200, "", [0, 0], True, "0"),
    "7004": (200, "", [0, 0, 0, 0, 0], True, "0"),
    "7005": (200, "", [0, 0], True, "0"),
    "7006": (200, "", [0], True, "0"),
    "7007": (200, "", [0], True, "0"),
    "7008": (200, "", [None], True, "0"),
    "7009": (200, "", ["0"], True, "0"),
    "7010": (200, "", [0], True, "0"),
    "7011": (200, "", [0], True, "0"),
    "7012": (200, "", [0], True, "0"),
    "7013": (200, "", [0], True, "0"),
    "7014": (200, "", [0], True, "0"),
    "7015": (200, "", [0], True, "0"),
    "7016": (200, "", [0], True, "0"),
    "7017": (200, "", [0], False, "1032"),
    "7018": (200, "", [1037, 0], True, "0"),
    "7019": (None, "", [0], True, "0"),
    "7020": (None, "", [], True, "0"),
    "7021": (502, "", [0], True, "0"),
    "7022": (502, "", [], False, None),
    "7023": (200, "", [0], True, "0"),
    "7024": (200, "500.003.02", [], False, None),
    "7025": (404, "404.001.03", [], False, None),
    "7026": (200, "", [0], True, "0"),
    "7027": (200, "", [0], True, "0"),
    "7028": (None, "", [1032], False, "1032"),
    "7101": (500, "500.001.1001", [], False, None),
    "7102": (500, "500.003.02", [], False, None),
    "7103": (500, "500.003.02", [], False, None),
    "7104": (429, "policies.ratelimit.SpikeArrestViolation", [], False, None),
    "7105": (500, "500.003.03", [], False, None),
    "7106": (500, "500.003.1001", [0], True, "0"),
    "7107": (400, "400.002.02", [], False, None),
    "7201": (200, "", [], True, "0"),
    "7202": (200, "", [], True, "0"),
    "7203": (200, "", [], True, "0"),
    "7204": (200, "", [], True, 500),
    "7205": (200, "", [], True, 502),
    "7206": (200, "", [], True, "0"),
}


def test_the_facts_below_cover_the_whole_table():
    assert set(FACTS) == {outcome.digits for outcome in OUTCOMES} | {"5678"}


@pytest.mark.parametrize("digits", FACTS)
def test_each_row_does_what_it_says(shop, digits):
    status, error_code, callbacks, money_moves, verdict = FACTS[digits]
    assert (*push(shop, PREFIX + digits),) == (status, error_code)

    shop.simulator.advance(LONG_ENOUGH_SECONDS)
    prompts = shop.prompts()
    assert len(prompts) == (0 if verdict is None else 1)
    if prompts:
        assert final_query(shop, prompts[0]["id"]) == verdict
    shop.simulator.advance(LONG_ENOUGH_SECONDS)

    assert shop.sink.codes == callbacks
    assert [(one["phone"], one["amount"]) for one in shop.ledger()] == (
        [(PREFIX + digits, 1)] if money_moves else []
    )


def push(shop, phone):
    """The status, and the error code of whichever shape."""
    if phone.endswith("7023"):
        answer = shop.push_through_silence(phone, 31)
    else:
        try:
            answer = shop.push(phone)
        except httpx2.RemoteProtocolError:
            return None, ""
    if "html" in answer.headers["Content-Type"]:
        return answer.status_code, ""
    body = answer.json()
    fault = body.get("fault", {}).get("detail", {}).get("errorcode", "")
    return answer.status_code, body.get("errorCode", fault)


def final_query(shop, checkout_request_id):
    """The verdict, or the status of what keeps hiding it; flaky answers are asked again."""
    for _ in range(20):
        answer = shop.query(checkout_request_id)
        if answer.status_code == 200:
            return answer.json()["ResultCode"]
    return answer.status_code


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: outcome.name)
def test_the_shop_is_told_paid_exactly_where_money_moves(outcome):
    money_moves = FACTS[outcome.digits][3]
    if outcome.shop_ends == "paid":
        # rejected once: the money moves at the second try
        assert money_moves or outcome.plan.rejects_token_once
    elif outcome.shop_ends in {"failed", "cancelled"}:
        assert not money_moves


def test_a_row_is_found_by_name_digits_and_result_code():
    assert TABLE.find("wrong_pin").digits == "2001"
    assert TABLE.find("2001").name == "wrong_pin"
    assert TABLE.find("1").name == "insufficient_balance"
    assert TABLE.find("SFC_IC0003").name == "unknown_party"
    assert TABLE.find("pay") is DEFAULT
    assert TABLE.find("0") is DEFAULT
    assert TABLE.find("cancel").digits == "1032"
    assert TABLE.find("no such row") is None
    assert TABLE.find("") is None


def test_digits_and_names_are_unique():
    rows = [row for table in distinct_tables() for row in table.rows if row.digits]
    assert len({one.digits for one in rows}) == len(rows)  # one phone, one fate, whatever is asked
    for table in distinct_tables():
        assert len({one.name for one in table.rows}) == len(table.rows)
    assert TABLE.rows == (DEFAULT, *OUTCOMES)


def test_the_printed_table_has_a_line_for_each_row_within_the_width():
    for table in distinct_tables():
        text = table.print(90)
        assert all(len(line) <= 90 for line in text.splitlines())
        for outcome in table.rows[1:]:
            assert f"\n{table.label_of(outcome):8}{outcome.name} " in text


@pytest.mark.parametrize(
    ("digits", "seconds"),
    [("5678", 3), ("1032", 3), ("1037", 26), ("0000", 60), ("1025", 1), ("1031", 60)],
)
def test_a_prompt_ends_on_its_second(shop, digits, seconds):
    checkout_id = shop.push_accepted(PREFIX + digits)
    shop.simulator.advance(seconds - 0.5)
    assert shop.query_code(checkout_id) == "4999"
    assert shop.sink.codes == []
    shop.simulator.advance(0.5)
    assert shop.query_code(checkout_id) != "4999"
    assert len(shop.sink.codes) == 1
