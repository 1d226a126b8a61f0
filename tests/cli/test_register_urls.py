"""Saying where payments from the menu are reported, to the real simulator."""

import httpx2
import pytest

from app.cli.context import load_config
from app.jobs.register_c2b import c2b_addresses
from daraja_simulator.config import SimulatorConfig
from daraja_simulator.server import SimulatorServer


@pytest.fixture
def open_simulator(shop, monkeypatch):
    """Starts a simulator with other options, to which the shop's settings point."""
    opened = []

    def start(**options) -> SimulatorServer:
        simulator = SimulatorServer(SimulatorConfig(**options)).__enter__()
        opened.append(simulator)
        monkeypatch.setenv("MPESA_BASE_URL", simulator.url)
        return simulator

    yield start
    for simulator in opened:
        simulator.__exit__(None, None, None)


def registered(simulator) -> list[dict]:
    answer = httpx2.get(f"{simulator.url}/__sim/registration", trust_env=False)
    return answer.json()["registrations"]


@pytest.mark.parametrize(
    ("option", "kind"), [((), "Completed"), (("--cancel-when-unreachable",), "Cancelled")]
)
def test_the_addresses_are_registered_and_shown_without_their_secret(
    manage, open_simulator, option, kind
):
    simulator = open_simulator()
    result = manage("payments", "register-urls", *option)

    addresses, secret = c2b_addresses(load_config()), load_config().mpesa_c2b_secret
    assert (result.exit_code, result.stderr) == (0, "")
    hidden = f"{secret[:4]}…"
    assert result.stdout.splitlines() == [
        "Payments to 174379 are to be reported to",
        f"  http://127.0.0.1:5000/api/pay/c2b/confirm/{hidden}",
        "and asked about before at",
        f"  http://127.0.0.1:5000/api/pay/c2b/validate/{hidden}",
        "Registered.",
    ]
    [one] = registered(simulator)
    assert (one["shortcode"], one["response_type"], one["version"]) == ("174379", kind, "v2")
    assert one["confirmation_url"] == addresses.confirmation_url
    assert one["validation_url"] == addresses.validation_url
    assert addresses.confirmation_url == (f"http://127.0.0.1:5000/api/pay/c2b/confirm/{secret}")
    assert secret not in repr(addresses)


def test_a_till_is_what_is_registered_where_customers_pay_to_one(
    manage, open_simulator, monkeypatch
):
    from daraja_simulator import DEFAULT_MERCHANTS

    till = DEFAULT_MERCHANTS[1]
    monkeypatch.setenv("MPESA_SHORTCODE", till.shortcode)
    monkeypatch.setenv("MPESA_TILL", till.till)
    simulator = open_simulator()
    result = manage("payments", "register-urls")
    assert (result.exit_code, registered(simulator)[0]["shortcode"]) == (0, till.till)


def test_what_stands_already_is_explained(manage, open_simulator):
    simulator = open_simulator(register_once=True)
    assert manage("payments", "register-urls").exit_code == 0
    result = manage("payments", "register-urls")

    assert result.exit_code == 1
    assert result.stderr == (
        "Safaricom has addresses for 174379 already, and takes others only after these were"
        " deleted in its developer portal (Self Service > URL Management). If they are the ones"
        " above, all is well.\n"
    )
    assert len(registered(simulator)) == 1


def test_a_refusal_is_one_line_without_the_secret(manage, open_simulator, monkeypatch):
    monkeypatch.setenv("MPESA_SHORTCODE", "600999")
    open_simulator()
    result = manage("payments", "register-urls")
    assert result.exit_code == 1
    assert result.stderr.startswith("Safaricom did not take them: ")
    assert len(result.stderr.splitlines()) == 1
    assert load_config().mpesa_c2b_secret not in result.stdout + result.stderr


def test_nobody_who_answers_is_one_line_too(manage, shop):
    result = manage("payments", "register-urls")
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert result.stderr.startswith("Safaricom did not take them: ")
