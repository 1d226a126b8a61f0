"""The certificate that a server shows to whoever connects, judged as a browser judges it."""

import socket
import ssl
from datetime import UTC, datetime
from enum import StrEnum


class CertificateFault(StrEnum):
    """Why a certificate is not accepted."""

    EXPIRED = "expired"
    NOT_YET_VALID = "not yet valid"
    OTHER_NAME = "for another name"
    UNKNOWN_ISSUER = "of an unknown issuer"
    OTHER = "not acceptable"


class BadCertificate(Exception):
    """The server's certificate is not accepted; ``detail`` is what OpenSSL says of it."""

    def __init__(self, fault: CertificateFault, detail: str) -> None:
        super().__init__(f"{fault}: {detail}")
        self.fault = fault
        self.detail = detail


_FAULTS = {  # the numbers are OpenSSL's: X509_V_ERR_…
    9: CertificateFault.NOT_YET_VALID,
    10: CertificateFault.EXPIRED,
    18: CertificateFault.UNKNOWN_ISSUER,
    19: CertificateFault.UNKNOWN_ISSUER,
    20: CertificateFault.UNKNOWN_ISSUER,
    21: CertificateFault.UNKNOWN_ISSUER,
    62: CertificateFault.OTHER_NAME,
    64: CertificateFault.OTHER_NAME,
}


def judge(error: ssl.SSLCertVerificationError) -> BadCertificate:
    """What is wrong, in one of a few words."""
    fault = _FAULTS.get(error.verify_code, CertificateFault.OTHER)
    return BadCertificate(fault, error.verify_message)


def read_expiry(
    host: str, port: int, context: ssl.SSLContext, *, timeout_seconds: float
) -> datetime:
    """The moment after which the certificate at this address is no longer good.

    Raises BadCertificate, or OSError (ssl.SSLError among them) when there is no connection.
    """
    with (
        socket.create_connection((host, port), timeout_seconds) as connection,
        _shake_hands(connection, host, context) as secured,
    ):
        certificate = secured.getpeercert() or {}
    seconds = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    return datetime.fromtimestamp(seconds, UTC)


def _shake_hands(connection: socket.socket, host: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    try:
        return context.wrap_socket(connection, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        raise judge(error) from error
