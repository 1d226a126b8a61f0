"""Who may turn the knobs: this machine alone, and no foreign web page through its browser."""

import ipaddress

from flask import current_app, request
from werkzeug.exceptions import Forbidden

from daraja_simulator.gateway import Gateway


def require_control() -> None:
    """Raises Forbidden for another machine, unless that is allowed, and for a foreign page."""
    gateway: Gateway = current_app.extensions["gateway"]
    if not gateway.config.control_from_anywhere and not _is_loopback(request.remote_addr):
        raise Forbidden("The page and /__sim answer this machine only.")
    if request.method == "POST" and request.headers.get("Sec-Fetch-Site") == "cross-site":
        raise Forbidden("Another site's page may not control the simulator.")


def _is_loopback(address: str | None) -> bool:
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return bool((mapped or found).is_loopback)
