"""The secret that an address of ours carries, which Safaricom alone is given; only its hash is
kept.
"""

import hmac
import secrets
from dataclasses import dataclass, field
from hashlib import sha256

_BYTES = 32


@dataclass(frozen=True, slots=True)
class CallbackSecret:
    """256 random bits in hexadecimal: Safaricom refuses addresses that hold words like cmd, exe or
    sql, which any larger alphabet spells now and then.
    """

    value: str = field(repr=False)

    @classmethod
    def new(cls) -> "CallbackSecret":
        return cls(secrets.token_hex(_BYTES))

    @property
    def hash(self) -> str:
        return sha256(self.value.encode()).hexdigest()

    def matches(self, secret_hash: str) -> bool:
        """Compared in constant time."""
        return hmac.compare_digest(self.hash, secret_hash)


def callback_token(row_id: int, secret: CallbackSecret) -> str:
    """``17.pZ3…``: what stands behind ``/api/pay/cb/`` in the address given to Safaricom, and
    behind the addresses of what is answered later.
    """
    return f"{row_id}.{secret.value}"


def split_callback_token(token: str) -> tuple[int, CallbackSecret] | None:
    """The row's id and the secret, or None for what no address of ours ever carried."""
    head, dot, tail = token.partition(".")
    if (
        not dot
        or not tail
        or not head.isascii()
        or not head.isdecimal()
        or len(head) > len("9" * 18)
    ):
        return None
    return int(head), CallbackSecret(tail)
