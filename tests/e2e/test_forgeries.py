"""Reports that Safaricom never sent."""

import pytest

from drill.processes import wait_until
from tests.e2e.shop import AMOUNT_SHILLINGS, QUANTITY, STOCK
from tests.e2e.story import SUCCESS

ACCEPTED = {"ResultCode": 0, "ResultDesc": "Accepted"}


def claim_of_success(transaction) -> dict:
    """All that a customer knows of their own payment, made into a perfect callback."""
    items = {
        "Amount": AMOUNT_SHILLINGS,
        "MpesaReceiptNumber": "UKN7RT61SV",
        "TransactionDate": 20261122120000,
        "PhoneNumber": int(transaction["phone_number"]),
    }
    return {
        "Body": {
            "stkCallback": {
                "MerchantRequestID": transaction["merchant_request_id"],
                "CheckoutRequestID": transaction["checkout_request_id"],
                "ResultCode": 0,
                "ResultDesc": "The service request is processed successfully.",
                "CallbackMetadata": {
                    "Item": [{"Name": name, "Value": value} for name, value in items.items()]
                },
            }
        }
    }


def moved_nothing(shop, purchase) -> bool:
    facts = shop.facts(purchase)
    return (
        facts.order["status"] == "pending"
        and facts.ledger == {}
        and (facts.on_hand, facts.reserved) == (STOCK, QUANTITY)
        and facts.transaction["mpesa_receipt"] is None
        and facts.transaction["status"] != "succeeded"
    )


@pytest.mark.parametrize("path", ["/mpesa/callback", "/api/mpesa/callback"])
def test_an_unsigned_claim_of_success_moves_nothing_but_has_the_payment_queried(story, path):
    shop = story.shop
    purchase = shop.buy(SUCCESS, name="forger")
    body = claim_of_success(shop.transaction(purchase))
    answer = shop.call("POST", path, json=body)
    assert (answer.status_code, answer.json()) == (200, ACCEPTED)
    wait_until(lambda: not shop.unread_messages(), "the claim has been weighed")
    assert moved_nothing(shop, purchase)

    shop.advance(3)  # the real payer pays, and the real report comes
    shop.wait_for_transaction(purchase, "succeeded")
    wait_until(lambda: shop.transaction(purchase)["mpesa_receipt"], "the real receipt is known")
    (prompt,) = shop.prompts(purchase.buyer.phone)
    assert shop.transaction(purchase)["mpesa_receipt"] == prompt["receipt"] != "UKN7RT61SV"


def test_an_unsigned_claim_of_success_loses_against_the_query(story):
    shop = story.shop
    purchase = shop.buy("1032", name="forger")
    body = claim_of_success(shop.transaction(purchase))
    shop.simulate("POST", "/callbacks", {"mode": "drop"})
    try:
        shop.advance(3)  # the payer presses cancel, and no callback says so
        answer = shop.call("POST", "/mpesa/callback", json=body)
        assert (answer.status_code, answer.json()) == (200, ACCEPTED)
        shop.wait_for_transaction(purchase, "cancelled")
    finally:
        shop.simulate("POST", "/callbacks", {"mode": "deliver"})
    assert moved_nothing(shop, purchase)


@pytest.mark.parametrize("secret", ["", ".", ".x", ".AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"])
def test_a_callback_with_a_wrong_secret_is_not_there(story, secret):
    shop = story.shop
    purchase = story.purchases["0001"]
    before = shop.facts(purchase)
    body = claim_of_success(before.transaction)
    path = f"/api/pay/cb/{purchase.transaction_id}{secret}"
    answer = shop.call("POST", path, json=body)
    assert answer.status_code == 404
    assert shop.facts(purchase) == before


def test_attack_100_no_log_holds_a_phone_number_or_the_secret_of_a_callback_address(story):
    shop = story.shop
    addresses = {one["url"] for one in shop.simulate("GET", "/deliveries")["deliveries"]}
    secrets = {url.rpartition(".")[2] for url in addresses}
    phones = {one.buyer.phone for one in story.purchases.values()}
    assert len(secrets) > 40
    for program in shop.programs:
        log = program.log()
        assert [secret for secret in secrets if secret in log] == [], program.name
        assert [phone for phone in phones if phone in log] == [], program.name


def test_the_books_know_nothing_of_forgeries(story):
    story.shop.check_books(unbooked=story.unbooked, disputed=story.disputed)
    with story.shop.reading() as session:
        booked = session.connection().exec_driver_sql(
            "SELECT count(*) FROM mpesa_receipts WHERE receipt = 'UKN7RT61SV'"
        )
        assert booked.scalar_one() == 0
