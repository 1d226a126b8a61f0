"""What is printed when the shop is up: where it is, who can sign in, how to pay."""

from app.cli.demo.people import Account, kept_accounts
from app.config import Config
from app.policies import Role

_WIDTH = 13


def banner(config: Config, simulator: str | None) -> str:
    shop = config.public_url
    rows = [("Shop", f"{shop}/"), ("Office", f"{shop}/office"), ("API", f"{shop}/docs")]
    if simulator is not None:
        rows.append(("M-Pesa", f"{simulator}/  (a simulated phone; no money moves)"))
    parts = ["", "Sokoni is open.", "", *(f"  {name:<{_WIDTH}}{value}" for name, value in rows)]
    accounts = kept_accounts()
    if accounts:
        parts += ["", *_account_lines(accounts)]
        parts += ["", *_first_payment(shop, accounts)]
    return "\n".join([*parts, "", "Ctrl-C stops everything."])


def _account_lines(accounts: list[Account]) -> list[str]:
    return [
        f"  {account.role:<{_WIDTH}}{account.username:<16}{account.password}"
        for account in accounts
    ]


def _first_payment(shop: str, accounts: list[Account]) -> list[str]:
    """Three lines to paste into another terminal; they need a shell, curl and sed."""
    buyer = next((one for one in accounts if one.role == Role.CUSTOMER.value), accounts[0])
    json = "-H 'Content-Type: application/json'"
    bearer = '-H "Authorization: Bearer $TOKEN"'
    credentials = f'{{"username": "{buyer.username}", "password": "{buyer.password}"}}'
    order = '{"products": [{"product_id": 1, "quantity": 1}]}'
    cut_first = """sed 's/.*"access_token": *"\\([^"]*\\)".*/\\1/'"""
    cut_number = """sed 's/^{"id": *\\([0-9]*\\).*/\\1/'"""
    payment = '"{\\"order_id\\": $ORDER}"'
    return [
        "A first payment, in another terminal:",
        "",
        f"  TOKEN=$(curl -s {shop}/api/login {json} -d '{credentials}' | {cut_first})",
        f"  ORDER=$(curl -s {shop}/api/orders {bearer} {json} -d '{order}' | {cut_number})",
        f"  curl -s {shop}/api/mpesa/stkpush {bearer} {json} -d {payment}; echo",
    ]
