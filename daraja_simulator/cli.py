"""The command line: `python -m daraja_simulator`."""

import argparse
import errno
import os
import signal
import sys
import threading
from collections.abc import Sequence

from daraja_simulator.config import OverLong, RateAnswer, SimulatorConfig
from daraja_simulator.logs import set_up_logging
from daraja_simulator.merchants import DEFAULT_MERCHANTS, parse_merchant
from daraja_simulator.outcomes import print_table
from daraja_simulator.server import SimulatorServer

_DEFAULT_PORT = 5001
_MAXIMUM_PORT = 65_535


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM. 0: stopped as asked; 1: could not listen; 2: bad usage."""
    config = read_config(arguments)
    set_up_logging()
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    try:
        server = SimulatorServer(config)
    except OSError as error:
        _complain(config, error)
        return 1
    with server:
        print(_describe(server), flush=True)  # noqa: T201 - a command line prints
        stopping.wait()
    return 0


def read_config(arguments: Sequence[str] | None = None) -> SimulatorConfig:
    """Exits with 2 and a sentence on standard error when the arguments make no sense."""
    parser = _make_parser()
    chosen = parser.parse_args(arguments)
    return SimulatorConfig(
        host=chosen.host,
        port=chosen.port,
        merchants=(*DEFAULT_MERCHANTS, *chosen.merchant),
        consumer_key=chosen.consumer_key,
        consumer_secret=chosen.consumer_secret,
        clock_factor=chosen.clock_factor,
        seed=chosen.seed,
        answer_seconds=chosen.answer_seconds,
        prompt_seconds=chosen.prompt_seconds,
        delivery_timeout_seconds=chosen.delivery_timeout_seconds,
        duplicate_window_seconds=chosen.duplicate_window_seconds,
        maximum_amount=chosen.maximum_amount,
        token_seconds=chosen.token_seconds,
        expires_in_as_number=chosen.expires_in_as_number,
        new_token_kills_old=chosen.new_token_kills_old,
        empty_credentials_error=chosen.empty_credentials_error,
        requests_per_second=chosen.requests_per_second,
        rate_answer=chosen.rate_answer,
        strict_callback_urls=chosen.strict_callback_urls,
        over_long=chosen.over_long,
        pending_query_as_500=chosen.pending_query_as_500,
        unknown_query_as_400=chosen.unknown_query_as_400,
        control_from_anywhere=chosen.control_from_anywhere,
    )


def _make_parser() -> argparse.ArgumentParser:
    merchants = "\n".join(f"  {merchant.describe()}" for merchant in DEFAULT_MERCHANTS)
    parser = argparse.ArgumentParser(
        prog="python -m daraja_simulator",
        description="Safaricom's side of M-Pesa (Daraja), for development and tests.",
        epilog=(
            f"merchants that are always there, with the public sandbox passkey:\n{merchants}\n\n"
            "outcomes, by the last four digits of the phone; 'shop ends' is what a correct shop\n"
            f"makes of the payment in the end:\n\n{print_table()}\n"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_server_options(parser.add_argument_group("server"))
    _add_time_options(parser.add_argument_group("time and chance (seconds are simulated ones)"))
    _add_caller_options(parser.add_argument_group("merchants and tokens"))
    _add_fidelity_options(parser.add_argument_group("what is not known of the real gateway"))
    return parser


def _add_server_options(group: "argparse._ArgumentGroup") -> None:
    group.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    group.add_argument(
        "--port",
        type=_port,
        # argparse gives a default that is text to `type`, so a bad variable is a usage error
        default=os.environ.get("SIMULATOR_PORT") or _DEFAULT_PORT,
        help=f"port; 0 picks a free one (SIMULATOR_PORT, else {_DEFAULT_PORT})",
    )
    group.add_argument(
        "--control-from-anywhere",
        action="store_true",
        help="open the page and /__sim to other machines too",
    )


def _add_time_options(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--clock-factor",
        type=_clock_factor,
        default=1.0,
        metavar="N",
        help="simulated seconds in a real one; 0 stops the clock (%(default)s)",
    )
    group.add_argument(
        "--seed", type=int, help="makes faults and ids the same in each run; tokens never are"
    )
    group.add_argument(
        "--answer-seconds",
        type=_seconds,
        default=3.0,
        metavar="S",
        help="how long the payer takes (%(default)s)",
    )
    group.add_argument(
        "--prompt-seconds",
        type=_seconds,
        default=60.0,
        metavar="S",
        help="how long a prompt that waits for a person lives (%(default)s)",
    )
    group.add_argument(
        "--delivery-timeout-seconds",
        type=_seconds,
        default=10.0,
        metavar="S",
        help="how long a shop may take to answer a callback, never under 2 real s (%(default)s)",
    )
    group.add_argument(
        "--duplicate-window-seconds",
        type=_seconds,
        default=120.0,
        metavar="S",
        help="same phone and amount within it gives result 17; 0 turns this off (%(default)s)",
    )


def _add_caller_options(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--merchant",
        type=_merchant,
        action="append",
        default=[],
        metavar="M",
        help="600123:passkey, or 600124:passkey:till=5001234; may be repeated",
    )
    group.add_argument("--consumer-key", help="the only key that is taken; else any is")
    group.add_argument("--consumer-secret", help="the only secret that is taken; else any is")
    group.add_argument(
        "--token-seconds", type=_whole, default=3599, metavar="S", help="token life (%(default)s)"
    )
    group.add_argument("--new-token-kills-old", action="store_true", help="of the same key")
    group.add_argument(
        "--requests-per-second", type=_seconds, metavar="N", help="refuse what is above"
    )
    group.add_argument(
        "--rate-answer",
        type=RateAnswer,
        choices=list(RateAnswer),
        default=RateAnswer.SPIKE_ARREST,
        help="500.003.02, or 429 with the proxy's fault (%(default)s)",
    )
    group.add_argument(
        "--maximum-amount", type=_whole, default=250_000, metavar="KES", help="(%(default)s)"
    )


def _add_fidelity_options(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--over-long",
        type=OverLong,
        choices=list(OverLong),
        default=OverLong.REJECT,
        help="AccountReference over 12 or TransactionDesc over 13 characters (%(default)s)",
    )
    group.add_argument(
        "--strict-callback-urls",
        action="store_true",
        help="the portal's rules: https, a public host, no frowned-upon words",
    )
    group.add_argument("--expires-in-as-number", action="store_true", help="not as a string")
    group.add_argument(
        "--empty-credentials-error",
        action="store_true",
        help="bad credentials get 400 and an empty body",
    )
    group.add_argument(
        "--pending-query-as-500",
        action="store_true",
        help="500 'The transaction is being processed' in place of 4999",
    )
    group.add_argument(
        "--unknown-query-as-400",
        action="store_true",
        help="400 'Invalid CheckoutRequestID' in place of 500 'does not Exist'",
    )


def _describe(server: SimulatorServer) -> str:
    merchants = ", ".join(merchant.describe() for merchant in server.config.merchants)
    clock = server.gateway.clock.factor
    return f"Daraja simulator on {server.url} ({merchants}; clock x{clock:g})"


def _complain(config: SimulatorConfig, error: OSError) -> None:
    is_taken = error.errno == errno.EADDRINUSE
    reason = "the port is in use" if is_taken else error.strerror or str(error)
    print(  # noqa: T201 - a command line prints
        f"Cannot listen on {config.host}:{config.port}: {reason}.", file=sys.stderr
    )


def _merchant(text: str) -> object:
    try:
        return parse_merchant(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _port(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= number <= _MAXIMUM_PORT:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to {_MAXIMUM_PORT}")
    return number


def _number(text: str, lowest: float, highest: float) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from error
    if not lowest <= number <= highest:  # NaN fails this too
        raise argparse.ArgumentTypeError(f"{text} lies outside {lowest:g} to {highest:g}")
    return number


def _seconds(text: str) -> float:
    return _number(text, 0, 1_000_000)


def _clock_factor(text: str) -> float:
    return _number(text, 0, 1_000_000)


def _whole(text: str) -> int:
    number = _number(text, 1, 1_000_000_000)
    if not number.is_integer():
        raise argparse.ArgumentTypeError(f"{text} is not a whole number")
    return int(number)
