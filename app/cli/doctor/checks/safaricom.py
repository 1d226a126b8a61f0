"""Safaricom's gateway: reached, with a clock that agrees, and taking our key and secret."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urlsplit

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app.cli.doctor.exam import Check, Exam, Group
from app.cli.doctor.findings import Finding, fault, fine, skipped, warning
from app.config import MpesaEnv
from app.integrations.mpesa import MpesaBusy, MpesaError, MpesaMisconfigured
from app.integrations.mpesa.authorised import TOKEN_PATH
from app.integrations.outside import Sight, Trouble, Unreached
from app.jobs.shared_token import SharedTokenStore, token_name
from app.utils.strict_json import JsonFault, parse_json

GATEWAY_UNREACHABLE = fault(
    "gateway_unreachable",
    "{host} cannot be reached from here ({trouble}): {advice}.",
    cause="No connection to Safaricom: no network, no name service, a firewall that lets nothing"
    " out, or a simulator that does not run.",
    cure="Try `curl -v` on the address from this machine. Let it out on port 443. For the"
    " simulator: `python -m daraja_simulator`, or `make run`.",
)
GATEWAY_UNTRUSTED = fault(
    "gateway_untrusted",
    "{host} shows a certificate that is not accepted here ({reason}): update this machine's"
    " certificates (ca-certificates), set its clock, or find the proxy that stands in between.",
    cause="The bundle of certificate authorities is old, the clock is far off, or a proxy opens"
    " encrypted connections and shows a certificate of its own.",
    cure="Update the system and Sokoni's requirements. A proxy that opens connections would read"
    " your keys: have it let this address through.",
)
GATEWAY_STRANGER = fault(
    "gateway_stranger",
    "What answers at {host} is not Safaricom's API (HTTP {status}, {what}): look at"
    " MPESA_BASE_URL, and for a proxy or a sign-in page in between.",
    cause="Another server answers: a wrong address, a sign-in page of a network, a firewall's"
    " notice.",
    cure="Leave MPESA_BASE_URL empty, so that it follows MPESA_ENV, and try `curl` on it.",
)
GATEWAY_DOWN = fault(
    "gateway_down",
    "Safaricom is in trouble (HTTP {status}): try again in a few minutes.",
    cause="The gateway answers with a server error.",
    cure="Wait. The shop does the same by itself, and asks about open payments later.",
)
GATEWAY_BUSY = warning(
    "gateway_busy",
    "Safaricom turns requests away for load or for our rate ({words}): try again in a minute.",
    cause="A limit of requests a second, or of a day, is used up: spike arrest or quota.",
    cure="Wait a minute. If it comes often, ask Safaricom for your rate and lower"
    " MPESA_QUERIES_PER_SECOND.",
)
CLOCK_OFF = fault(
    "clock_off",
    "This machine's clock is {seconds} s {direction} Safaricom's: switch on time synchronisation"
    " (timedatectl set-ntp true); the time zone does not matter.",
    cause="Nothing keeps the clock right. Timestamps, tokens and certificates are judged by it.",
    cure="`timedatectl set-ntp true`, or run chrony. In a container the host's clock counts.",
)
DATABASE_CLOCK_OFF = fault(
    "database_clock_off",
    "This machine's clock is {seconds} s {direction} the database server's: switch on time"
    " synchronisation on both.",
    cause="Two machines that work on the same rows disagree about the time, so that orders"
    " expire too early and leases end too late.",
    cure="Time synchronisation on both machines. If Safaricom's clock agrees with this machine's,"
    " it is the database's that is off.",
)
TOKEN_REFUSED = fault(
    "token_refused",
    "Safaricom refuses the consumer key or secret ({words}): copy MPESA_CONSUMER_KEY and"
    " MPESA_CONSUMER_SECRET of your {env} app from the portal, whole and without spaces.",
    cause="Key and secret do not belong together, belong to another environment (sandbox keys are"
    " no good in production and the reverse), or the app was deleted. Some gateways answer 400"
    " with an empty body.",
    cure="In the portal, under My Apps, copy both of the app that went live. After Go Live there"
    " is a new app with keys of its own.",
)
TOKEN_UNAVAILABLE = fault(
    "token_unavailable",
    "Safaricom gave no access token ({words}): try again in a few minutes.",
    cause="The gateway is up, but its token service answers nothing that can be used.",
    cure="Wait and try again. If it stays so for an hour, write to apisupport@safaricom.co.ke.",
)
TOKEN_SHORT = warning(
    "token_short",
    "The access token is good for only {seconds} s: watch whether tokens are fetched all the"
    " time, and ask Safaricom why.",
    cause="Safaricom says a life under five minutes, or none that can be read; an hour is usual.",
    cure="Nothing is broken: tokens are fetched more often. Ask apisupport@safaricom.co.ke.",
)
TOKEN_STORE_BROKEN = fault(
    "token_store_broken",
    "The access token cannot be kept in the database ({reason}): every process would fetch its own,"
    " and each new one may end the others'; mend the database.",
    cause="The table of the shared token cannot be written or read.",
    cure="Look at what the checks of the database say.",
)
TOKEN_FROM_AHEAD = fault(
    "token_from_ahead",
    "The token kept in the database is said to be good for {minutes} more minutes, which none is:"
    " the clock of a machine that shares this database is ahead; synchronise it.",
    cause="A token lives an hour. One that seems to live longer was written by a machine whose"
    " clock is ahead of this one's, or this one's is behind.",
    cure="Time synchronisation on every machine that runs a web server or a worker.",
)

_MOST_OFF = timedelta(seconds=60)
_SHORT_LIFE = timedelta(minutes=4)
_LONGEST_LIFE = timedelta(hours=1, minutes=1)
_ADVICE = {
    Trouble.NAME: "look at this machine's name service and at MPESA_BASE_URL",
    Trouble.REFUSED: "look at MPESA_BASE_URL",
    Trouble.LATE: "a firewall may let nothing out on this port",
}


def look_at_gateway(exam: Exam) -> Iterator[Finding]:
    base_url = exam.config.mpesa_base_url
    host = urlsplit(base_url).netloc
    asked_at = exam.work.now()
    try:
        sight = exam.outside.look("GET", base_url + TOKEN_PATH)
    except Unreached as error:
        yield _explain_unreached(exam, host, error)
        return
    exam.known.gateway_asked_at = asked_at + (exam.work.now() - asked_at) / 2
    exam.known.gateway_now = _read_date(sight)
    if sight.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        yield GATEWAY_DOWN.found(status=sight.status)
    elif not _is_daraja(sight):
        what = f"to {sight.headers.get('location', '?')}" if sight.is_redirect else sight.kind
        yield GATEWAY_STRANGER.found(
            host=host, status=sight.status, what=exam.quote(what or "no type")
        )
    else:
        yield fine(f"{host} answers, in {sight.seconds * 1000:.0f} ms.")


def look_at_clock(exam: Exam) -> Iterator[Finding]:
    known = exam.known
    if known.gateway_now is None or known.gateway_asked_at is None:
        yield skipped("Safaricom has not told its time.")
    else:
        ahead = known.gateway_asked_at - known.gateway_now
        if abs(ahead) > _MOST_OFF:
            yield CLOCK_OFF.found(**_describe(ahead))
        else:
            yield fine(
                f"This machine's clock agrees with Safaricom's to {_seconds(ahead)} s; its time"
                " zone does not matter."
            )
    if exam.is_sound("database") and not exam.work.database.is_sqlite:
        ahead = _ahead_of_database(exam)
        if abs(ahead) > _MOST_OFF:
            yield DATABASE_CLOCK_OFF.found(**_describe(ahead))


def look_at_token(exam: Exam) -> Iterator[Finding]:
    began = exam.work.now()
    try:
        token = exam.examiner.fetch_token()
    except MpesaMisconfigured as error:
        env = exam.config.mpesa_env
        yield TOKEN_REFUSED.found(words=exam.quote(error.message), env=env)
    except MpesaBusy as error:
        yield GATEWAY_BUSY.found(words=exam.quote(error.message))
    except MpesaError as error:
        yield TOKEN_UNAVAILABLE.found(words=exam.quote(error.message))
    else:
        exam.known.token = token
        life = token.expires_at - began
        if life < _SHORT_LIFE:
            yield TOKEN_SHORT.found(seconds=_seconds(life))
        yield fine("Key and secret are accepted.")


def look_at_token_store(exam: Exam) -> Iterator[Finding]:
    """Keep the new token where all processes find it: the one before may have died with it."""
    token, config = exam.known.token, exam.config
    if token is None:
        yield skipped("there is no token to keep.")
        return
    name = token_name(config.mpesa_base_url, config.mpesa_consumer_key)
    store = SharedTokenStore(exam.work.database, name, exam.work.ports.clock)
    try:
        before = store.read()
        store.write(token)
        after = store.read()
    except SQLAlchemyError as error:
        yield TOKEN_STORE_BROKEN.found(reason=exam.quote(getattr(error, "orig", None) or error))
        return
    if after is None or after.value != token.value:
        yield TOKEN_STORE_BROKEN.found(reason="what was written is not what is read")
    elif before is not None and before.expires_at - exam.work.now() > _LONGEST_LIFE:
        minutes = (before.expires_at - exam.work.now()) // timedelta(minutes=1)
        yield TOKEN_FROM_AHEAD.found(minutes=minutes)
    else:
        yield fine("All processes on this database share one access token.")


def _explain_unreached(exam: Exam, host: str, error: Unreached) -> Finding:
    if error.trouble is Trouble.CERTIFICATE:
        return GATEWAY_UNTRUSTED.found(host=host, reason=exam.quote(error.detail))
    advice = _ADVICE.get(error.trouble, "look at the network and at MPESA_BASE_URL")
    if exam.config.mpesa_env is MpesaEnv.SIMULATOR:
        advice = "start the simulator (python -m daraja_simulator), or look at MPESA_BASE_URL"
    return GATEWAY_UNREACHABLE.found(host=host, trouble=error.trouble, advice=advice)


def _is_daraja(sight: Sight) -> bool:
    """Daraja, Authorization: without keys it refuses in its envelope, or with an empty body."""
    if sight.status not in {HTTPStatus.OK, HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED}:
        return False
    if not sight.body.strip():
        return sight.status != HTTPStatus.OK
    try:
        document = parse_json(sight.body)
    except JsonFault:
        return False
    return isinstance(document, dict) and not {"errorCode", "fault", "access_token"}.isdisjoint(
        document
    )


def _read_date(sight: Sight) -> datetime | None:
    try:
        moment = parsedate_to_datetime(sight.headers["date"])
    except (KeyError, ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _ahead_of_database(exam: Exam) -> timedelta:
    """How far our clock is ahead; the question's own time is halved."""
    began = exam.work.now()
    with exam.work.database.reading() as session:
        theirs: datetime = session.scalars(text("SELECT clock_timestamp()")).one()
        ended = exam.work.now()
    return began + (ended - began) / 2 - theirs.astimezone(UTC)


def _describe(ahead: timedelta) -> dict[str, object]:
    direction = "ahead of" if ahead > timedelta() else "behind"
    return {"seconds": _seconds(ahead), "direction": direction}


def _seconds(span: timedelta) -> int:
    return round(abs(span.total_seconds()))


CHECKS = (
    Check(
        "gateway",
        Group.SAFARICOM,
        "whether Safaricom's API can be reached",
        look_at_gateway,
        kinds=(GATEWAY_UNREACHABLE, GATEWAY_UNTRUSTED, GATEWAY_STRANGER, GATEWAY_DOWN),
        limit_seconds=20,
    ),
    Check(
        "clock",
        Group.SAFARICOM,
        "this machine's clock against Safaricom's and the database's",
        look_at_clock,
        kinds=(CLOCK_OFF, DATABASE_CLOCK_OFF),
        after=("gateway", "database"),
    ),
    Check(
        "token",
        Group.SAFARICOM,
        "consumer key and secret, by fetching an access token",
        look_at_token,
        kinds=(TOKEN_REFUSED, GATEWAY_BUSY, TOKEN_UNAVAILABLE, TOKEN_SHORT),
        needs=("gateway",),
        after=("migrations",),  # what is fetched is to be kept at once
        limit_seconds=25,
    ),
    Check(
        "token_store",
        Group.SAFARICOM,
        "whether all processes share that token",
        look_at_token_store,
        kinds=(TOKEN_STORE_BROKEN, TOKEN_FROM_AHEAD),
        needs=("token", "migrations"),
    ),
)
