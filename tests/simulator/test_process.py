"""The program itself: arguments, port, signals, log."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path

import httpx2
import pytest

from daraja_simulator import (
    Api,
    C2bVersion,
    Initiator,
    Order,
    OverLong,
    PhoneShape,
    RateAnswer,
    SimulatorConfig,
    SimulatorServer,
    cli,
)
from daraja_simulator.cli import read_config
from daraja_simulator.logs import mask_text
from daraja_simulator.options import make_parser
from daraja_simulator.tables import distinct_tables
from tests.simulator.shop import Shop

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-W", "error", "-m", "daraja_simulator"]


def environment(**changes):
    kept = {name: value for name, value in os.environ.items() if name != "SIMULATOR_PORT"}
    return kept | changes


def run(*arguments, **changes):
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


@contextmanager
def started(*arguments, **changes):
    """A running simulator, its first line, and the address in it."""
    with subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env=environment(**changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            line = process.stdout.readline()
            found = re.search(r"http://[0-9.]+:[0-9]+", line)
            assert found, process.stderr.read()
            yield process, line, found.group()
        finally:
            if process.poll() is None:
                process.kill()


def test_help_prints_options_merchants_and_the_table():
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for table in distinct_tables():
        assert f"\n{table.title}:\n" in done.stdout
        for outcome in table.rows:
            assert f"\n{table.label_of(outcome):8}{outcome.name} " in done.stdout
    for words in ("--clock-factor", "paybill 174379", "store 4001001 with till 5001001"):
        assert words in done.stdout


def test_a_taken_port_is_one_line_and_a_failure():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("--port", str(port))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == f"Cannot listen on 127.0.0.1:{port}: the port is in use.\n"


def test_an_address_of_another_machine_is_a_failure():
    done = run("--host", "192.0.2.1", "--port", "0")
    assert done.returncode == 1
    assert done.stderr == "Cannot listen on 192.0.2.1:0: Cannot assign requested address.\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_within_a_second_whatever_is_pending(number, client):
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        started("--port", "0", "--answer-seconds", "0") as (process, line, url),
    ):
        assert line == (
            f"Daraja simulator on {url} (paybill 174379, store 4001001 with till 5001001; "
            "clock x1)\n"
        )
        shop = Shop(Elsewhere(url), Elsewhere("http://127.0.0.1:1"), client)
        address = f"http://127.0.0.1:{mute.getsockname()[1]}/secret-path"
        for phone in ("254712345678", "254712340000", "254712347002"):
            shop.push_accepted(phone, CallBackURL=address)
        mute.accept()[0].close()  # a callback is on its way, two more are due
        began = time.monotonic()
        process.send_signal(number)
        output, errors = process.communicate(timeout=5)
        assert time.monotonic() - began < 10
        assert (process.returncode, output) == (0, "")
        assert "Traceback" not in errors
        check_log(errors, shop)


@dataclass
class Elsewhere:
    """A simulator, or a shop's address, outside this process."""

    url: str


def check_log(errors, shop):
    assert "POST /mpesa/stkpush/v1/processrequest 200" in errors
    assert "GET /oauth/v1/generate 200" in errors
    assert "712345678" not in errors
    assert "secret-path" not in errors
    assert shop._token not in errors


def test_the_port_can_be_used_again_at_once(client):
    with started("--port", "0") as (process, _, url):
        client.get(url + "/__sim/status")
        process.terminate()
        process.wait(5)
    port = url.rpartition(":")[2]
    with started(SIMULATOR_PORT=port) as (process, _, again):
        assert again == url
        assert client.get(url + "/__sim/status").status_code == 200
        process.terminate()
        assert process.wait(5) == 0


def test_every_option_reaches_the_configuration():
    config = read_config(
        [
            *("--host", "0.0.0.0", "--port", "7000", "--seed", "9", "--clock-factor", "60"),
            *("--merchant", "600123:passkey", "--merchant", "600124:pass:till=5001234"),
            *("--consumer-key", "k", "--consumer-secret", "s", "--answer-seconds", "1.5"),
            *("--prompt-seconds", "90", "--delivery-timeout-seconds", "5"),
            *("--duplicate-window-seconds", "0", "--maximum-amount", "150000"),
            *("--token-seconds", "60", "--requests-per-second", "5", "--rate-answer", "apigee"),
            *("--over-long", "truncate", "--strict-callback-urls", "--expires-in-as-number"),
            *("--new-token-kills-old", "--empty-credentials-error", "--pending-query-as-500"),
            *("--unknown-query-as-400", "--control-from-anywhere"),
            *("--validation-seconds", "4", "--result-seconds", "2", "--initiator", "shop:a:b"),
            *("--without", "pull", "--without", "b2c", "--utility-balance", "0"),
            *("--charge-percent", "0.55", "--payout-charge", "15", "--c2b-version", "v1"),
            *("--no-external-validation", "--validate-express", "--confirm-express", "never"),
            *("--phone-shape", "hashed", "--register-once", "--refuse-174379"),
            *("--timestamp-minutes", "5", "--status-finds-express", "--real-dates"),
        ]
    )
    assert (config.validation_seconds, config.result_seconds) == (4, 2)
    assert config.initiators == (Initiator("shop", "a:b"),)
    assert config.missing_products == {Api.PULL, Api.B2C}
    assert (config.utility_balance, config.payout_charge) == (0, 15)
    assert config.charge_percent == Decimal("0.55")
    assert config.c2b_version is C2bVersion.V1
    assert config.external_validation is False
    assert config.validate_express
    assert config.confirm_express is Order.NEVER
    assert config.phone_shape is PhoneShape.HASHED
    assert config.register_once
    assert config.refuse_174379
    assert config.timestamp_minutes == 5
    assert config.status_finds_express
    assert config.real_dates
    assert (config.host, config.port, config.seed, config.clock_factor) == ("0.0.0.0", 7000, 9, 60)
    assert [one.describe() for one in config.merchants[-2:]] == [
        "paybill 600123",
        "store 600124 with till 5001234",
    ]
    assert (config.consumer_key, config.consumer_secret) == ("k", "s")
    assert (config.answer_seconds, config.prompt_seconds) == (1.5, 90)
    assert (config.delivery_timeout_seconds, config.duplicate_window_seconds) == (5, 0)
    assert (config.maximum_amount, config.token_seconds) == (150_000, 60)
    assert (config.requests_per_second, config.rate_answer) == (5, RateAnswer.APIGEE)
    assert config.over_long is OverLong.TRUNCATE
    assert config.strict_callback_urls
    assert config.expires_in_as_number
    assert config.new_token_kills_old
    assert config.empty_credentials_error
    assert config.pending_query_as_500
    assert config.unknown_query_as_400
    assert config.control_from_anywhere


def test_every_setting_can_be_reached_from_the_command_line_but_the_start_of_time():
    chosen = vars(make_parser().parse_args([]))
    named = {one.name for one in fields(SimulatorConfig)}
    lists = {"merchant": "merchants", "initiator": "initiators", "without": "missing_products"}
    assert {lists.get(name, name) for name in chosen} == named - {"start_at"}
    assert read_config([]) == SimulatorConfig(port=5001)


def test_the_port_comes_from_the_environment_unless_it_is_given(monkeypatch):
    monkeypatch.delenv("SIMULATOR_PORT", raising=False)
    assert read_config([]).port == 5001
    monkeypatch.setenv("SIMULATOR_PORT", "")
    assert read_config([]).port == 5001
    monkeypatch.setenv("SIMULATOR_PORT", "6001")
    assert read_config([]).port == 6001
    assert read_config(["--port", "6002"]).port == 6002


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "x"],
        ["--port", "65536"],
        ["--port", "-1"],
        ["--clock-factor", "-1"],
        ["--clock-factor", "nan"],
        ["--answer-seconds", "soon"],
        ["--token-seconds", "0"],
        ["--token-seconds", "1.5"],
        ["--merchant", "600123"],
        ["--merchant", "12:passkey"],
        ["--merchant", "600123:passkey:5001234"],
        ["--merchant", "600123:passkey:till=1"],
        ["--over-long", "dance"],
        ["--rate-answer", "dance"],
        ["--seed", "x"],
        ["--initiator", "nobody"],
        ["--initiator", ":password"],
        ["--without", "dance"],
        ["--charge-percent", "101"],
        ["--charge-percent", "nan"],
        ["--charge-percent", "x"],
        ["--utility-balance", "0.5"],
        ["--utility-balance", "-1"],
        ["--c2b-version", "v3"],
        ["--confirm-express", "dance"],
        ["--phone-shape", "dance"],
        ["--dance"],
    ],
)
def test_a_senseless_argument_is_a_usage_error(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        read_config(arguments)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.splitlines()[-1].startswith("python -m daraja_simulator: error: ")
    assert "invalid _" not in error


def test_a_senseless_port_in_the_environment_is_a_usage_error(monkeypatch):
    monkeypatch.setenv("SIMULATOR_PORT", "x")
    with pytest.raises(SystemExit) as stop:
        read_config([])
    assert stop.value.code == 2


def test_main_serves_until_it_is_told_to_stop(monkeypatch, capsys):
    """In this process: both signals come as soon as somebody listens for them."""
    heard = []

    def send(number, handler):
        heard.append(number)
        handler(number, None)

    monkeypatch.setattr(cli.signal, "signal", send)
    monkeypatch.setattr(cli, "set_up_logging", lambda: None)
    assert cli.main(["--port", "0"]) == 0
    assert heard == [signal.SIGINT, signal.SIGTERM]
    assert capsys.readouterr().out.startswith("Daraja simulator on http://127.0.0.1:")


def test_main_fails_when_it_cannot_listen(monkeypatch, capsys):
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)
    monkeypatch.setattr(cli, "set_up_logging", lambda: None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.main(["--port", str(port)]) == 1
    assert capsys.readouterr().err == f"Cannot listen on 127.0.0.1:{port}: the port is in use.\n"


def test_phones_are_masked_wherever_they_stand():
    assert mask_text("from 254712345678.") == "from 2547****678."
    assert mask_text("ws_CO_221120262359501712345678 ended") == "ws_CO_221120262359501****678 ended"
    assert mask_text("/__sim/prompts/ws_CO_22112026235950999712345678") == (
        "/__sim/prompts/ws_CO_22112026235950999****678"
    )
    assert mask_text("in 25 ms, 200") == "in 25 ms, 200"


def test_it_listens_on_ipv6_too():
    with SimulatorServer(SimulatorConfig(host="::1")) as simulator:
        assert simulator.url == f"http://[::1]:{simulator.port}"
        assert httpx2.get(simulator.url + "/__sim/status").status_code == 200


def test_a_server_stopped_is_a_port_refused_and_may_come_back():
    with SimulatorServer() as simulator:
        url, port = simulator.url, simulator.port
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(url)
    with SimulatorServer(SimulatorConfig(port=port)) as again:
        assert again.url == url
        assert httpx2.get(url).status_code == 200


def test_a_server_never_started_gives_its_port_back():
    simulator = SimulatorServer()
    simulator.stop()
    with SimulatorServer(SimulatorConfig(port=simulator.port)) as again:
        assert again.port == simulator.port
