"""The settings themselves, beyond what keeps the shop from starting."""

import re
import stat
from collections.abc import Iterator
from urllib.parse import urlsplit

from app.cli.context import ENV_FILE
from app.cli.doctor.exam import Check, Exam, Group
from app.cli.doctor.findings import Finding, Level, fault, fine, warning
from app.config import MPESA_BASE_URLS, Config, MpesaEnv

REFUSED = fault(
    "settings_refused",
    "{sentence}",
    cause="A setting is missing, malformed, or unsafe where MPESA_ENV says production. The shop"
    " does not start with it; it is what `python manage.py config check` says.",
    cure="Do what the sentence says, in `.env` or in the environment. The table of settings is in"
    " the README.",
)
NOT_LIVE = warning(
    "not_live",
    "MPESA_ENV is {env}: nobody can pay real money; set MPESA_ENV=production to go live.",
    cause="The shop talks to the simulator or to Safaricom's sandbox.",
    cure="Nothing, while you develop or test. To go live take the production keys, passkey and"
    " shortcode from the portal: nothing of the sandbox is good there.",
)
SANDBOX_REMAINS = fault(
    "sandbox_remains",
    "{names} still hold what belongs to the sandbox or the simulator: take your own from"
    " Safaricom's portal.",
    cause="A number, name or key that Safaricom prints for everybody, or that the simulator uses,"
    " was left in the settings of a production shop.",
    cure="Put in what Safaricom gave your organisation when your app went live.",
)
FOREIGN_GATEWAY = warning(
    "gateway_foreign",
    "MPESA_BASE_URL is {host}, which is not where MPESA_ENV={env} belongs: your keys go there;"
    " leave it empty unless you mean it.",
    cause="MPESA_BASE_URL and MPESA_ENV say different things.",
    cure="Remove MPESA_BASE_URL: its default follows MPESA_ENV. Keep it only for a gateway of your"
    " own in between.",
)
GUESSABLE_SECRET = fault(
    "secret_guessable",
    "{names} can be guessed, for words or rows of letters stand in them: make new ones with"
    " python -c 'import secrets; print(secrets.token_urlsafe(48))'.",
    cause="The secret looks like one that was typed, or copied from an example. Who knows"
    " SECRET_KEY or JWT_SECRET_KEY can sign in as anybody.",
    cure="Make new ones. Everybody has to sign in again, and the addresses for payments from the"
    " menu change with SECRET_KEY unless MPESA_C2B_SECRET is set.",
    elsewhere=Level.WARNING,
)
OPEN_ENV_FILE = warning(
    "env_file_open",
    ".env can be read by other users of this machine: run chmod 600 .env.",
    cause="The file holds every secret of the shop, and its permissions let others read it.",
    cure="`chmod 600 .env`, and let its owner be the user that the shop runs as.",
)

_SANDBOX_SHORTCODES = frozenset(
    [
        "174379",
        "600000",
        "600610",
        "600782",
        "600979",
        "600984",
        "600992",
        "600996",
        "600999",
        "4001001",
    ]
)
_SANDBOX_VALUES = {
    "MPESA_INITIATOR_NAME": frozenset({"testapi"}),
    "MPESA_CONSUMER_KEY": frozenset({"simulator"}),
    "MPESA_CONSUMER_SECRET": frozenset({"simulator"}),
    "MPESA_SHORTCODE": _SANDBOX_SHORTCODES,
    "MPESA_C2B_SHORTCODE": _SANDBOX_SHORTCODES,
    "MPESA_B2C_SHORTCODE": _SANDBOX_SHORTCODES,
    "MPESA_TILL": frozenset({"5001001"}),
    "MPESA_PULL_NUMBER": frozenset({"254708374149"}),
}
_TYPED = re.compile(
    r"change.?me|secret|password|passkey|example|sokoni|placeholder|insecure|default"
    r"|012345|123456|987654|abcdef|qwerty",
    re.IGNORECASE,
)


def look_at_settings(exam: Exam) -> Iterator[Finding]:
    config = exam.config
    if not config.is_production:
        yield NOT_LIVE.found(env=config.mpesa_env)
    elif names := _sandbox_remains(config):
        yield SANDBOX_REMAINS.found(names=" and ".join(names))
    if (host := _foreign_gateway(config)) is not None:
        yield FOREIGN_GATEWAY.found(host=host, env=config.mpesa_env)
    yield fine(
        f"Every setting can be read: M-Pesa {config.mpesa_env}, "
        f"{'till ' + config.mpesa_till + ' of store' if config.mpesa_till else 'paybill'} "
        f"{config.mpesa_shortcode}, {config.public_url}."
    )


def look_at_secrets(exam: Exam) -> Iterator[Finding]:
    config = exam.config
    names = [
        name
        for name, secret in (
            ("SECRET_KEY", config.secret_key),
            ("JWT_SECRET_KEY", config.jwt_secret_key),
        )
        if _TYPED.search(secret)
    ]
    if names:
        yield GUESSABLE_SECRET.found(names=" and ".join(names))
    if _is_open_to_others():
        yield OPEN_ENV_FILE.found()
    if not names:
        yield fine("The secrets look as if dice had made them.")


def _sandbox_remains(config: Config) -> list[str]:
    followed = config.mpesa_till or config.mpesa_shortcode  # its fault is not another's as well
    return [
        name
        for name, known in _SANDBOX_VALUES.items()
        if (value := getattr(config, name.lower())) in known
        and not (name == "MPESA_C2B_SHORTCODE" and value == followed)
    ]


def _foreign_gateway(config: Config) -> str | None:
    """The host that keys are sent to, where it is not the one of this environment."""
    host = urlsplit(config.mpesa_base_url).hostname or ""
    if config.mpesa_env is MpesaEnv.SIMULATOR:
        return host if host.endswith("safaricom.co.ke") else None
    return None if host == urlsplit(MPESA_BASE_URLS[config.mpesa_env]).hostname else host


def _is_open_to_others() -> bool:
    try:
        mode = ENV_FILE.stat().st_mode
    except OSError:
        return False
    return bool(mode & (stat.S_IRGRP | stat.S_IROTH))


CHECKS = (
    Check(
        "settings",
        Group.SETTINGS,
        "all settings, and what they say together",
        look_at_settings,
        kinds=(REFUSED, NOT_LIVE, SANDBOX_REMAINS, FOREIGN_GATEWAY),
    ),
    Check(
        "secrets",
        Group.SETTINGS,
        "secrets that are none, and who can read .env",
        look_at_secrets,
        kinds=(GUESSABLE_SECRET, OPEN_ENV_FILE),
    ),
)
