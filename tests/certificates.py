"""Certificates for tests: of an authority, and of servers that it vouches for or does not."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Issued:
    """A certificate and its key, as files for OpenSSL."""

    certificate: Path
    key: Path

    @property
    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


class Authority:
    """Issues certificates for 127.0.0.1 and whichever name, good for as long as one likes."""

    def __init__(self, folder: Path, name: str = "Authority of a test") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self.certificate = _build(
            self._name, self._name, self._key.public_key(), self._key, _Life(-1, 365), ca=True
        )

    @property
    def client_context(self) -> ssl.SSLContext:
        """Trusts this authority alone."""
        pem = self.certificate.public_bytes(serialization.Encoding.PEM).decode()
        return ssl.create_default_context(cadata=pem)

    def issue(self, name: str, *, first_day: float = -1, last_day: float = 90) -> Issued:
        """Days are counted from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        life = _Life(first_day, last_day)
        issued = _build(_name(name), self._name, key.public_key(), self._key, life, host=name)
        return self._keep(f"{name}-{last_day}", issued, key)

    def _keep(self, label: str, certificate: x509.Certificate, key) -> Issued:
        kept = Issued(self._folder / f"{label}.pem", self._folder / f"{label}.key")
        kept.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        kept.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return kept


def rsa_certificate(common_name: str, *, bits: int = 2048) -> bytes:
    """A certificate with an RSA key, as passwords of initiators are encrypted for."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    name = _name(common_name)
    made = _build(name, name, key.public_key(), key, _Life(-400, -30))
    return made.public_bytes(serialization.Encoding.PEM)


@dataclass(frozen=True)
class _Life:
    first_day: float
    last_day: float


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _build(subject, issuer, public_key, signing_key, life, *, ca=False, host=None):
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=life.first_day))
        .not_valid_after(now + timedelta(days=life.last_day))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if host is not None:
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(signing_key, hashes.SHA256())
