"""The options of the command line; each that is a setting has the setting's name."""

import argparse
import os
from decimal import Decimal, InvalidOperation

from daraja_simulator.apis import Api
from daraja_simulator.c2b_outcomes import Order
from daraja_simulator.config import C2bVersion, Initiator, OverLong, PhoneShape, RateAnswer
from daraja_simulator.merchants import DEFAULT_MERCHANTS, parse_merchant
from daraja_simulator.tables import print_tables

_DEFAULT_PORT = 5001
_MAXIMUM_PORT = 65_535


def make_parser() -> argparse.ArgumentParser:
    merchants = "\n".join(f"  {merchant.describe()}" for merchant in DEFAULT_MERCHANTS)
    parser = argparse.ArgumentParser(
        prog="python -m daraja_simulator",
        description="Safaricom's side of M-Pesa (Daraja), for development and tests.",
        epilog=(
            f"merchants that are always there, with the public sandbox passkey:\n{merchants}\n\n"
            "outcomes, by the last four digits of a phone; 'shop ends' is what a correct shop\n"
            f"makes of it in the end.\n\n{print_tables()}\n"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_server_options(parser.add_argument_group("server"))
    _add_time_options(parser.add_argument_group("time and chance (seconds are simulated ones)"))
    _add_caller_options(parser.add_argument_group("merchants, operators and tokens"))
    _add_money_options(parser.add_argument_group("money"))
    _add_c2b_options(parser.add_argument_group("payments by the customer's menu (C2B)"))
    _add_strict_options(parser.add_argument_group("as strict as production"))
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
        "--real-dates",
        action="store_true",
        help="tell the wall's date and time, however fast the clock runs: shops live by that",
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
        "--validation-seconds",
        type=_seconds,
        default=8.0,
        metavar="S",
        help="how long a shop may think about a payment, never under 2 real s (%(default)s)",
    )
    group.add_argument(
        "--result-seconds",
        type=_seconds,
        default=5.0,
        metavar="S",
        help="how long a payout, a reversal or an inquiry takes (%(default)s)",
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
        "--initiator",
        type=_initiator,
        action="append",
        default=[],
        metavar="NAME:PASSWORD",
        help="the only operators that may call; may be repeated (testapi:Safaricom999!*!)",
    )
    group.add_argument(
        "--without",
        type=Api,
        choices=list(Api),
        action="append",
        default=[],
        metavar="API",
        help=f"a product that the app lacks: {', '.join(Api)}; may be repeated",
    )
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


def _add_money_options(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--maximum-amount",
        type=_whole,
        default=250_000,
        metavar="KES",
        help="of one transaction (%(default)s)",
    )
    group.add_argument(
        "--utility-balance",
        type=_shillings,
        default=100_000,
        metavar="KES",
        help="what each merchant has to start with (%(default)s)",
    )
    group.add_argument(
        "--charge-percent",
        type=_percent,
        default=Decimal(0),
        metavar="P",
        help="what M-Pesa takes of each payment (%(default)s)",
    )
    group.add_argument(
        "--payout-charge",
        type=_shillings,
        default=0,
        metavar="KES",
        help="what M-Pesa takes for each payout (%(default)s)",
    )


def _add_c2b_options(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--c2b-version",
        type=C2bVersion,
        choices=list(C2bVersion),
        default=C2bVersion.BOTH,
        help="of which version the app has the product (%(default)s)",
    )
    group.add_argument(
        "--no-external-validation",
        dest="external_validation",
        action="store_false",
        help="shops are told of payments, and not asked before",
    )
    group.add_argument(
        "--validate-express",
        action="store_true",
        help="shops are asked before a push moves money, too",
    )
    group.add_argument(
        "--confirm-express",
        type=Order,
        choices=list(Order),
        default=Order.BY_CHANCE,
        help="when a paid push is confirmed by C2B, about its callback (%(default)s)",
    )
    group.add_argument(
        "--phone-shape",
        type=PhoneShape,
        choices=list(PhoneShape),
        default=PhoneShape.BY_VERSION,
        help="the payer's phone in notices; v1 hashes and v2 masks (%(default)s)",
    )


def _add_strict_options(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--strict-callback-urls",
        action="store_true",
        help="the portal's rules: https, a public host, no frowned-upon words",
    )
    group.add_argument(
        "--register-once", action="store_true", help="a second registration of URLs is refused"
    )
    group.add_argument(
        "--refuse-174379", action="store_true", help="no URLs for the sandbox's own paybill"
    )
    group.add_argument(
        "--timestamp-minutes",
        type=_seconds,
        metavar="N",
        help="refuse a Timestamp that is further off Nairobi's time",
    )


def _add_fidelity_options(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--over-long",
        type=OverLong,
        choices=list(OverLong),
        default=OverLong.REJECT,
        help="AccountReference over 12 or TransactionDesc over 13 characters (%(default)s)",
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
    group.add_argument(
        "--status-finds-express",
        action="store_true",
        help="a transaction status is found by a push's MerchantRequestID, too",
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


def _shillings(text: str) -> int:
    number = _number(text, 0, 1_000_000_000)
    if not number.is_integer():
        raise argparse.ArgumentTypeError(f"{text} is not a whole number")
    return int(number)


def _percent(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from error
    if not (number.is_finite() and 0 <= number <= 100):  # noqa: PLR2004 - a hundredth part
        raise argparse.ArgumentTypeError(f"{text} lies outside 0 to 100")
    return number


def _initiator(text: str) -> Initiator:
    name, _, password = text.partition(":")
    if not name or not password:
        raise argparse.ArgumentTypeError("an initiator is NAME:PASSWORD")
    return Initiator(name, password)
