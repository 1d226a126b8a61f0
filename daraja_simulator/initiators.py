"""Reading an initiator's password back out of a SecurityCredential."""

import base64
import binascii
from enum import StrEnum
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from daraja_simulator.config import SimulatorConfig

_PRIVATE_KEY = Path(__file__).with_name("private_key.pem")
_SHORTEST_PADDING = 8


class Seal(StrEnum):
    """What a credential is. M-Pesa says 2001 to all that is bad; the control API tells apart."""

    GOOD = "good"
    UNKNOWN_INITIATOR = "unknown initiator"
    UNREADABLE = "not sealed with this certificate"
    WRONG_PASSWORD = "wrong password"  # noqa: S105 - that is what it is, not one


def check_seal(config: SimulatorConfig, name: str, credential: str) -> Seal:
    password = open_credential(credential)
    if password is None:
        return Seal.UNREADABLE
    known = [one for one in config.initiators if one.name == name]
    if not known:
        return Seal.UNKNOWN_INITIATOR
    return Seal.GOOD if password in {one.password for one in known} else Seal.WRONG_PASSWORD


def open_credential(credential: str) -> str | None:
    """Base64 of RSA with the padding of PKCS#1 v1.5; None when it is not that, under our key.

    The padding is looked at by hand: the library gives random bytes for a wrong one, so that no
    attacker can tell, and here a developer should be told.
    """
    try:
        sealed = base64.b64decode(credential, validate=True)
    except binascii.Error:
        return None
    plain = _decrypt(sealed)
    padding, separator, message = plain[2:].partition(b"\x00")
    if plain[:2] != b"\x00\x02" or not separator or len(padding) < _SHORTEST_PADDING:
        return None
    try:
        return message.decode()
    except UnicodeDecodeError:
        return None


def _decrypt(sealed: bytes) -> bytes:
    """Empty for what cannot have been made with our certificate."""
    numbers = _load_key().private_numbers()
    modulus = numbers.public_numbers.n
    size = (modulus.bit_length() + 7) // 8
    number = int.from_bytes(sealed, "big")
    if len(sealed) != size or number >= modulus:
        return b""
    # By the Chinese remainder theorem, which is thrice as fast as one power by d.
    first = pow(number, numbers.dmp1, numbers.p)
    second = pow(number, numbers.dmq1, numbers.q)
    plain = second + (numbers.iqmp * (first - second) % numbers.p) * numbers.q
    return plain.to_bytes(size, "big")


@cache
def _load_key() -> RSAPrivateKey:
    key = load_pem_private_key(_PRIVATE_KEY.read_bytes(), None)
    if not isinstance(key, RSAPrivateKey):
        raise TypeError("The simulator's key is an RSA key.")
    return key
