"""PUBLIC_URL: what Safaricom takes as an address, its name, its certificate."""

import ipaddress
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import SplitResult, urlsplit

from app.cli.doctor.exam import Check, Exam, Group
from app.cli.doctor.findings import Finding, Level, fault, fine, skipped, warning
from app.config import MpesaEnv
from app.integrations.outside import BadCertificate, CertificateFault, Unreached

MALFORMED = fault(
    "address_malformed",
    "PUBLIC_URL is {url}, to which no path can be added: leave only https:// and the host's name.",
    cause="The address holds a query, a fragment, or a user's name.",
    cure="Write it like `https://your.shop`.",
)
PRIVATE = fault(
    "address_private",
    "PUBLIC_URL names {host}, which only this network knows: Safaricom needs a public name.",
    cause="localhost, an address of a private network, or a name under .local, .internal, .test,"
    " .example or the like.",
    cure="Give the shop a public host name with a certificate.",
)
IS_IP = warning(
    "address_is_ip",
    "PUBLIC_URL is the bare address {host}: some say that Safaricom takes only names, and hardly"
    " anybody gets a certificate for it; use a host name.",
    cause="Sources differ on whether Safaricom takes addresses without a name.",
    cure="Give the shop a host name.",
)
CAPITALS = warning(
    "address_capitals",
    "PUBLIC_URL has capital letters in its host: Safaricom has refused such addresses; write it in"
    " small letters.",
    cause="A host with capitals was seen refused as “Invalid CallBackURL”.",
    cure="Small letters. The name stays the same.",
)
WORD = fault(
    "address_word",
    "PUBLIC_URL contains “{word}”, which Safaricom blocks in addresses: use a host name without"
    " it.",
    cause="Safaricom's filters refuse addresses with the words mpesa, m-pesa, safaricom, exe, exec,"
    " cmd, sql or query, in any spelling.",
    cure="Another host name, if need be a second one only for Safaricom (it may lead to the same"
    " server: add it to TRUSTED_HOSTS).",
    elsewhere=Level.WARNING,
)
TUNNEL = fault(
    "address_tunnel",
    "PUBLIC_URL is an address of {word}, which Safaricom usually blocks: use a host name of your"
    " own.",
    cause="Tunnels and request catchers such as ngrok, mockbin and requestbin are on Safaricom's"
    " list.",
    cure="A small server with a name of its own; in the sandbox a tunnel that you name yourself.",
    elsewhere=Level.WARNING,
)
UNRESOLVED = fault(
    "name_unresolved",
    "The name {host} does not resolve ({reason}): make a DNS record for it, or mend PUBLIC_URL.",
    cause="No A or AAAA record, a typing error, or a record that is not known everywhere yet.",
    cure="Set the record at your DNS provider, and wait until `dig` shows it.",
)
RESOLVES_INSIDE = warning(
    "name_private",
    "From here {host} leads to {addresses}, which is private: see that it leads to a public"
    " address from outside.",
    cause="This network has name servers of its own, or the DNS record holds a private address.",
    cure="Ask a name server outside: `dig @1.1.1.1 …`. What comes back must be public.",
)
UNREACHABLE = fault(
    "address_unreachable",
    "Nobody answers at {url} ({trouble}): start the web server and the proxy in front of it, and"
    " open the port.",
    cause="The web server or the proxy does not run, listens elsewhere, or a firewall is in"
    " between. Some routers do not let a machine reach its own public address.",
    cure="`python manage.py web` under a supervisor, the proxy before it, port 443 open. If other"
    " machines reach the address, run the doctor on one of them or mend the router (hairpin NAT).",
)
_RENEW = "renew it, and see that renewal runs by itself"
EXPIRED = fault(
    "certificate_expired",
    f"The certificate of {{host}} has expired: {_RENEW}.",
    cause="Nobody renewed it. Safaricom delivers nothing to it.",
    cure="Run the renewal (certbot, Caddy, your host's panel) and reload the proxy.",
)
NOT_YET = fault(
    "certificate_not_yet",
    "The certificate of {host} is not good yet: this machine's clock is behind, or the certificate"
    " was made for later.",
    cause="Its first day lies ahead of this machine's clock.",
    cure="See what `clock` says; then make a new certificate.",
)
OTHER_NAME = fault(
    "certificate_other_name",
    "The certificate at {host} is for another name ({reason}): get one for exactly this host.",
    cause="The proxy shows the certificate of another site, or one without this name (www or not).",
    cure="Make one that names this host, and let the proxy choose it by the name that is asked"
    " for.",
)
UNTRUSTED = fault(
    "certificate_untrusted",
    "The certificate of {host} is not from an authority that others know, or the one in between is"
    " not sent along ({reason}): serve the full chain.",
    cause="Self-signed, from an authority of your own, or, most often, only the server's own"
    " certificate is sent and the intermediate one is missing; browsers hide that.",
    cure="nginx: `ssl_certificate fullchain.pem`, not `cert.pem`. Or use Let's Encrypt.",
)
UNACCEPTED = fault(
    "certificate_unaccepted",
    "The certificate of {host} is not accepted ({reason}): make a new one.",
    cause="OpenSSL refuses it for the reason it gives.",
    cure="Make a new certificate with an authority that browsers know.",
)
ENDS_SOON = warning(
    "certificate_ends_soon",
    f"The certificate of {{host}} ends in {{days}} days: {_RENEW}.",
    cause="Automatic renewal usually happens 30 days before the end, so it does not run.",
    cure="Look at the timer or the log of certbot, or of whatever renews it.",
)
BY_CERTIFICATE_FAULT = {
    CertificateFault.EXPIRED: EXPIRED,
    CertificateFault.NOT_YET_VALID: NOT_YET,
    CertificateFault.OTHER_NAME: OTHER_NAME,
    CertificateFault.UNKNOWN_ISSUER: UNTRUSTED,
    CertificateFault.OTHER: UNACCEPTED,
}

_WORDS = ("m-pesa", "mpesa", "safaricom", "exec", "exe", "cmd", "sql", "query")
_TUNNELS = ("ngrok", "mockbin", "requestbin")
_INSIDE = (".local", ".localhost", ".internal", ".intranet", ".lan", ".home", ".test", ".invalid")
_EXAMPLES = (".example", "example.com", "example.org", "example.net")
_SOON = timedelta(days=14)


def look_at_address(exam: Exam) -> Iterator[Finding]:
    url = exam.config.public_url
    parts = urlsplit(url)
    if parts.query or parts.fragment or "@" in parts.netloc:
        yield MALFORMED.found(url=exam.quote(url))
        return
    if is_at_home(exam):
        yield fine(f"PUBLIC_URL is {url}, which is not public; with the simulator it need not be.")
        return
    yield from list(_look_at_host(parts)) or [fine(f"{url} is an address that Safaricom takes.")]


def look_at_wording(exam: Exam) -> Iterator[Finding]:
    """What Safaricom's filters stumble over, in the whole address."""
    url = exam.config.public_url.lower()
    found = []
    if (tunnel := next((word for word in _TUNNELS if word in url), None)) is not None:
        found.append(TUNNEL.found(word=tunnel))
    if (word := next((word for word in _WORDS if word in url), None)) is not None:
        found.append(WORD.found(word=word))
    yield from found or [fine("No word that Safaricom blocks stands in it.")]


def look_at_name(exam: Exam) -> Iterator[Finding]:
    host = host_of(exam)
    if is_at_home(exam) or _ip_of(host) is not None:
        yield skipped("PUBLIC_URL has no name to look up.")
        return
    try:
        addresses = exam.outside.resolve(host)
    except Unreached as error:
        yield UNRESOLVED.found(host=host, reason=exam.quote(error.detail))
        return
    listed = ", ".join(addresses)
    if not any(ipaddress.ip_address(address.partition("%")[0]).is_global for address in addresses):
        yield RESOLVES_INSIDE.found(host=host, addresses=listed)
    else:
        yield fine(f"{host} leads to {listed}.")


def look_at_certificate(exam: Exam) -> Iterator[Finding]:
    if not exam.config.is_https:
        yield skipped("PUBLIC_URL is http, which only the simulator takes.")
        return
    host = host_of(exam)
    try:
        ends_at = exam.outside.certificate_ends_at(
            host, urlsplit(exam.config.public_url).port or 443
        )
    except BadCertificate as error:
        yield BY_CERTIFICATE_FAULT[error.fault].found(host=host, reason=exam.quote(error.detail))
        return
    except Unreached as error:
        yield UNREACHABLE.found(url=exam.config.public_url, trouble=error.trouble)
        return
    left = ends_at - exam.work.now()
    if left < _SOON:
        yield ENDS_SOON.found(host=host, days=left.days)
    else:
        yield fine(f"The certificate of {host} is good for {left.days} days.")


def is_at_home(exam: Exam) -> bool:
    """Whether shop and simulator are in one network, where nothing has to be public."""
    simulated = exam.config.mpesa_env is MpesaEnv.SIMULATOR
    return simulated and _is_inside(host_of(exam))


def host_of(exam: Exam) -> str:
    return urlsplit(exam.config.public_url).hostname or ""


def _look_at_host(parts: SplitResult) -> Iterator[Finding]:
    host = parts.hostname or ""
    if _is_inside(host) or host.endswith(_EXAMPLES):
        yield PRIVATE.found(host=host)
    elif _ip_of(host) is not None:
        yield IS_IP.found(host=host)
    if any(letter.isupper() for letter in parts.netloc):
        yield CAPITALS.found()


def _is_inside(host: str) -> bool:
    address = _ip_of(host)
    if address is not None:
        return not address.is_global
    return "." not in host or host.endswith(_INSIDE)


def _ip_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


CHECKS = (
    Check(
        "address",
        Group.ADDRESS,
        "whether PUBLIC_URL is an address that Safaricom takes",
        look_at_address,
        kinds=(MALFORMED, PRIVATE, IS_IP, CAPITALS),
    ),
    Check(
        "wording",
        Group.ADDRESS,
        "whether words or hosts that Safaricom blocks stand in it",
        look_at_wording,
        kinds=(WORD, TUNNEL),
    ),
    Check(
        "name",
        Group.ADDRESS,
        "whether its name leads to a public address",
        look_at_name,
        kinds=(UNRESOLVED, RESOLVES_INSIDE),
        needs=("address",),
        limit_seconds=30,
    ),
    Check(
        "certificate",
        Group.ADDRESS,
        "whether its certificate is accepted, and for how long",
        look_at_certificate,
        kinds=(*BY_CERTIFICATE_FAULT.values(), ENDS_SOON, UNREACHABLE),
        needs=("name",),
        limit_seconds=30,
    ),
)
