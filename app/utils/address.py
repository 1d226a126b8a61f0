"""Network addresses as keys: one subscriber, one key."""

import ipaddress

_IPV6_SUBSCRIBER_BITS = 64


def subscriber_of(address: str | None) -> str | None:
    """``197.232.1.2`` as it is, an IPv6 address as its /64 network, None for what is neither.

    A household has a whole /64 to send from: counting single addresses would count nothing.
    """
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    network = ipaddress.ip_network((parsed.packed, _IPV6_SUBSCRIBER_BITS), strict=False)
    return str(network)
