"""Addresses that we are told to call: how they may be written, and where they may lead.

Whoever names an address makes this server send a request from where it stands, behind its own
firewall. So an address may lead to what anybody on the internet can reach, and nowhere else. The
text of an address decides only what can be told at once; a name is held to the same where it has
been resolved, by ``is_open_to``.

The ranges are written out here. ``ipaddress`` calls a mapped, translated or tunnelled 127.0.0.1
global in some of its versions, and such an address reaches this machine all the same.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

PORTS = (80, 443, 4443, 8080, 8443, 9443)
LONGEST_ADDRESS = 500
_HTTPS_PORT, _HTTP_PORT = 443, 80
_LAST_PORT = 65_535
_LONGEST_NAME = 253
_ADDRESS = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[a-z0-9.-]+|\[[0-9a-f]*:[0-9a-f:.]*\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?:[/?][!$-;=?-Z_a-z~\[\]]*)?",
    re.IGNORECASE | re.ASCII,
)
"""No user, no fragment, no blank, no backslash: nothing that two readers read in two ways."""

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LOOKS_NUMERIC = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)")

_CLOSED_V4 = tuple(
    ip_network(block)
    for block in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by a carrier's customers
        "127.0.0.0/8",  # this machine
        "169.254.0.0/16",  # this link, and what clouds tell their machines
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocols
        "192.0.2.0/24",  # examples
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # measuring
        "198.51.100.0/24",  # examples
        "203.0.113.0/24",  # examples
        "224.0.0.0/4",  # many receivers
        "240.0.0.0/4",  # reserved, and everybody at once
    )
)
_OPEN_V6 = ip_network("2000::/3")
"""All that is handed out. What is mapped, compatible or NAT64 lies outside of it."""

_CLOSED_V6 = tuple(
    ip_network(block)
    for block in (
        "2001::/23",  # protocols, Teredo among them
        "2001:db8::/32",  # examples
        "2002::/16",  # 6to4
        "3fff::/20",  # examples
    )
)
_PRIVATE = tuple(
    ip_network(block)
    for block in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1/128",
        "fc00::/7",
    )
)


@dataclass(frozen=True, slots=True)
class CallRules:
    """What a laptop may do besides: call without TLS, and call itself and its own network."""

    allow_http: bool = False
    allow_private: bool = False


@dataclass(frozen=True, slots=True)
class WebAddress:
    """Where an address leads: a name or a literal IP address, and a port."""

    host: str
    port: int


def read_web_address(text: str, rules: CallRules) -> WebAddress:
    """Raises ValueError, with a sentence, for an address that is never called."""
    found = _ADDRESS.fullmatch(text) if len(text) <= LONGEST_ADDRESS else None
    if found is None:
        raise ValueError("Write a whole address, like https://erp.example.co.ke/hooks.")
    is_http = found["scheme"].lower() == "http"
    if is_http and not rules.allow_http:
        raise ValueError("The address must begin with https://.")
    port = int(found["port"] or (_HTTP_PORT if is_http else _HTTPS_PORT))
    if not 0 < port <= _LAST_PORT or (port not in PORTS and not rules.allow_private):
        raise ValueError("Use the port 80, 443, 4443, 8080, 8443 or 9443.")
    host = found["host"].lower().strip("[]")
    _check_host(host, rules)
    return WebAddress(host, port)


def is_open_to(address: str, rules: CallRules) -> bool:
    """Whether a literal IP address may be connected to."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if rules.allow_private and _is_in(found, _PRIVATE):
        return True
    if isinstance(found, IPv4Address):
        return not _is_in(found, _CLOSED_V4)
    return found.scope_id is None and found in _OPEN_V6 and not _is_in(found, _CLOSED_V6)


def _check_host(host: str, rules: CallRules) -> None:
    labels = host.split(".")
    if ":" in host or _LOOKS_NUMERIC.fullmatch(labels[-1]):
        is_sound = is_open_to(host, rules)  # 0x7f.1 and 2130706433 are 127.0.0.1 to some readers
    else:
        is_sound = len(host) <= _LONGEST_NAME and all(map(_LABEL.fullmatch, labels))
        is_sound &= rules.allow_private or (len(labels) > 1 and labels[-1] != "localhost")
    if not is_sound:
        raise ValueError("Name a host that anybody on the internet can reach.")


def _is_in(address: IPv4Address | IPv6Address, blocks: Iterable[IPv4Network | IPv6Network]) -> bool:
    return any(address in block for block in blocks)
