"""PUBLIC_URL asked as Safaricom would ask: no detour, our own answers, the right sender."""

import json
from collections.abc import Iterator
from hashlib import sha256
from http import HTTPStatus
from secrets import token_hex

from app.cli.doctor.checks.address import UNREACHABLE
from app.cli.doctor.exam import Check, Exam, Group
from app.cli.doctor.findings import Finding, fault, fine, warning
from app.cli.doctor.probing import CALLBACK_PATH, look_for, made_probe
from app.integrations.outside import Sight, Unreached
from app.services.probes import Arrival
from app.utils.callback_secret import CallbackSecret, callback_token
from app.utils.http import API_POLICY, REQUEST_ID_HEADER
from app.utils.strict_json import JsonFault, parse_json

REDIRECTS = fault(
    "address_redirects",
    "{url} sends whoever asks on to {target}: Safaricom does not follow, so PUBLIC_URL must be the"
    " address where the way ends.",
    cause="A redirect from http to https, to or from www, to another path or to a sign-in page.",
    cure="Set PUBLIC_URL to the final address, and let the proxy redirect nothing under /api/pay/.",
)
ERRING = fault(
    "address_erring",
    "{url} answers HTTP {status}: the proxy is there, but the shop behind it is not; start python"
    " manage.py web, or mend the proxy's target.",
    cause="A proxy answers 502, 503 or 504 where it does not reach the web server.",
    cure="Compare the proxy's target with HOST and PORT, and look at the web server's log.",
)
HOST_REFUSED = fault(
    "host_refused",
    "The shop refuses the Host header that the proxy sends: let it pass the visitor's (nginx:"
    " proxy_set_header Host $host), or add the name to TRUSTED_HOSTS.",
    cause="The proxy puts its own name, or the target's address, into Host.",
    cure="`proxy_set_header Host $host;` in nginx, `ProxyPreserveHost On` in Apache. Caddy does so"
    " by itself.",
)
NOT_OURS = fault(
    "address_not_ours",
    "What answers at {url} is not this shop (HTTP {status}, {kind}): point the name or the proxy at"
    " it, or mend PUBLIC_URL.",
    cause="Another site, a parking page, a sign-in page, or a protection that shows a page of its"
    " own to programs.",
    cure="Open the address in a browser to see who answers. Nothing may stand in front that asks"
    " for a password or a challenge.",
)
BLOCKED = fault(
    "callback_blocked",
    "A report posted to {path} does not reach the shop (HTTP {status}, {kind}): let POST requests"
    " with JSON through to it, without a challenge or a sign-in.",
    cause="A web application firewall, a protection against robots or against forged forms, or a"
    " proxy that passes only GET answers in the shop's place.",
    cure="Exempt /api/pay/ from it. Safaricom posts JSON, with no cookie and no browser's headers.",
)
ELSEWHERE = fault(
    "callback_elsewhere",
    "The shop at {url} does not know what this machine's database holds: another shop answers"
    " there, or one with older code; use the same DATABASE_URL, and restart it.",
    cause="The web server behind PUBLIC_URL uses another database than this command, or was not"
    " restarted since the update.",
    cure="Compare DATABASE_URL on both machines. Then restart the web server.",
)
BODY_CHANGED = fault(
    "callback_changed",
    "Something between {url} and the shop changes what is posted: let it through byte for byte.",
    cause="A proxy or firewall rewrites bodies.",
    cure="Switch rewriting off, at least under /api/pay/.",
)
TOO_MANY_PROXIES = fault(
    "proxies_too_many",
    "TRUSTED_PROXY_COUNT={count} believes what anybody writes into X-Forwarded-For: set it to"
    " {hops}.",
    cause="Fewer proxies stand in front than the setting says, so the address of a caller is one"
    " that the caller chose. Limits by address can be got around, and logs name strangers.",
    cure="Set it to the number in the sentence. It was seen on the way from this machine: if"
    " Safaricom comes by another way, with a CDN in front, count the proxies on that one.",
)
PROXIES_MISCOUNTED = fault(
    "proxies_miscounted",
    "TRUSTED_PROXY_COUNT={count} takes a proxy ({seen}) for the caller, so all customers share its"
    " limits: set it to {hops}.",
    cause="Another number of proxies stands in front than the setting says.",
    cure="Set it to the number in the sentence. It was seen on the way from this machine: if"
    " customers come by another way, with a CDN in front, count the proxies on that one.",
)
NO_FORWARDING = warning(
    "proxies_silent",
    "TRUSTED_PROXY_COUNT={count}, but nobody in front says who called: let the proxy set"
    " X-Forwarded-For, or all customers share one limit.",
    cause="The proxy removes X-Forwarded-For and sets none of its own.",
    cure="nginx: `proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;`. Apache and Caddy"
    " do so by themselves.",
)

_MADE_UP = "198.51.100.77"
"""An address that nobody has: RFC 5737 keeps it for examples."""
_NONCE_BYTES = 8
_PROXY_ERRORS = frozenset({502, 503, 504})
_HOST_WORDS = b"not the host of this shop"
_REPORT = {
    "Body": {
        "stkCallback": {
            "MerchantRequestID": "0000-0000-0000-doctor",
            "CheckoutRequestID": "ws_CO_010120000000000001000000000",
            "ResultCode": 1032,
            "ResultDesc": "Request cancelled by user.",
        }
    }
}
"""What a real report looks like: whoever inspects bodies on the way shall see one."""


def look_at_reachability(exam: Exam) -> Iterator[Finding]:
    url = f"{exam.config.public_url}/healthz"
    nonce = _nonce()
    try:
        sight = exam.outside.look("GET", url, headers={REQUEST_ID_HEADER: nonce})
    except Unreached as error:
        yield UNREACHABLE.found(url=exam.config.public_url, trouble=error.trouble)
        return
    if (detour := _find_detour(exam, url, sight, nonce)) is not None:
        yield detour
    elif sight.status != HTTPStatus.OK or not _is_ours(sight, nonce):
        yield NOT_OURS.found(url=url, status=sight.status, kind=_kind(exam, sight))
    else:
        yield fine(f"The shop answers at {url}, in {sight.seconds * 1000:.0f} ms.")


def look_at_callback(exam: Exam) -> Iterator[Finding]:
    """With a secret that nobody has: our own 404 shows that the request came through."""
    path = f"{CALLBACK_PATH}1.…"
    token = callback_token(1, CallbackSecret.new())
    url = f"{exam.config.public_url}{CALLBACK_PATH}{token}"
    nonce = _nonce()
    try:
        sight = _post(exam, url, nonce)
    except Unreached as error:
        yield BLOCKED.found(path=path, status="none", kind=error.trouble)
        return
    if (detour := _find_detour(exam, exam.config.public_url + path, sight, nonce)) is not None:
        yield detour
    elif sight.status != HTTPStatus.NOT_FOUND or not _is_problem(sight, nonce):
        yield BLOCKED.found(path=path, status=sight.status, kind=_kind(exam, sight))
    else:
        yield fine("Reports get through, and one with a wrong secret is refused by the shop.")


def look_at_arrival(exam: Exam) -> Iterator[Finding]:
    """With a secret that the database knows: what arrives, and from whom it is said to come."""
    url = exam.config.public_url
    with made_probe(exam) as probe:
        try:
            sight = _post(exam, probe.url, _nonce())
        except Unreached as error:
            yield UNREACHABLE.found(url=url, trouble=error.trouble)
            return
        arrival = look_for(exam, probe)
    if sight.status != HTTPStatus.OK or arrival is None:
        yield ELSEWHERE.found(url=url)
    elif arrival.body_hash != sha256(_body()).hexdigest():
        yield BODY_CHANGED.found(url=url)
    else:
        yield judge_sender(exam.config.trusted_proxy_count, arrival)


def judge_sender(count: int, arrival: Arrival) -> Finding:
    """Whether the shop knows who called, by what came of an X-Forwarded-For that we made up.

    Proxies add to the header at its end; some throw away what was in it.
    """
    chain = [part.strip() for part in (arrival.forwarded_for or "").split(",") if part.strip()]
    is_kept = _MADE_UP in chain
    hops = len(chain) - chain.index(_MADE_UP) - 1 if is_kept else len(chain)
    if arrival.remote_addr == _MADE_UP:
        return TOO_MANY_PROXIES.found(count=count, hops=hops)
    if count > hops == 0:
        return NO_FORWARDING.found(count=count)
    if count != hops:
        return PROXIES_MISCOUNTED.found(count=count, hops=hops, seen=arrival.remote_addr)
    return fine(
        f"What is posted arrives unchanged, and the shop knows who called ({hops} proxies)."
    )


def _find_detour(exam: Exam, url: str, sight: Sight, nonce: str) -> Finding | None:
    """What keeps any request from the shop."""
    if sight.is_redirect:
        target = exam.quote(sight.headers.get("location", "somewhere"))
        return REDIRECTS.found(url=url, target=target)
    if sight.status == HTTPStatus.BAD_REQUEST and _HOST_WORDS in sight.body:
        return HOST_REFUSED.found()
    if sight.status in _PROXY_ERRORS and not _is_ours(sight, nonce):
        return ERRING.found(url=url, status=sight.status)
    return None


def _post(exam: Exam, url: str, nonce: str) -> Sight:
    headers = {
        REQUEST_ID_HEADER: nonce,
        "Content-Type": "application/json;charset=UTF-8",
        "X-Forwarded-For": _MADE_UP,
    }
    return exam.outside.look("POST", url, headers=headers, content=_body())


def _body() -> bytes:
    return json.dumps(_REPORT).encode()


def _nonce() -> str:
    return f"doctor-{token_hex(_NONCE_BYTES)}"


def _is_ours(sight: Sight, nonce: str) -> bool:
    """Our web server gives a request's id back. Some proxies put their own in its place; then its
    policy, which no other has, has to do.
    """
    headers = sight.headers
    echoes = headers.get(REQUEST_ID_HEADER.lower()) == nonce
    return echoes or headers.get("content-security-policy") == API_POLICY


def _is_problem(sight: Sight, nonce: str) -> bool:
    try:
        document = parse_json(sight.body)
    except JsonFault:
        return False
    is_not_found = isinstance(document, dict) and document.get("code") == "not_found"
    return is_not_found and _is_ours(sight, nonce)


def _kind(exam: Exam, sight: Sight) -> str:
    return exam.quote(sight.kind or "no content type")


CHECKS = (
    Check(
        "reachable",
        Group.ADDRESS,
        "whether this shop answers at PUBLIC_URL, without a detour",
        look_at_reachability,
        kinds=(UNREACHABLE, REDIRECTS, ERRING, HOST_REFUSED, NOT_OURS),
        needs=("certificate",),
    ),
    Check(
        "callback",
        Group.ADDRESS,
        "whether a report like Safaricom's gets through to the shop",
        look_at_callback,
        kinds=(REDIRECTS, ERRING, HOST_REFUSED, BLOCKED),
        needs=("reachable",),
    ),
    Check(
        "arrival",
        Group.ADDRESS,
        "whether it arrives in this database, and TRUSTED_PROXY_COUNT",
        look_at_arrival,
        kinds=(
            UNREACHABLE,
            ELSEWHERE,
            BODY_CHANGED,
            TOO_MANY_PROXIES,
            PROXIES_MISCOUNTED,
            NO_FORWARDING,
        ),
        needs=("callback", "migrations"),
    ),
)
