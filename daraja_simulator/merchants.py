"""The merchants that this Safaricom knows: paybills, and stores with their tills."""

import base64
import re
from dataclasses import dataclass, field
from enum import StrEnum

# Safaricom prints this passkey on its public sandbox page; it guards nothing.
SANDBOX_PASSKEY = "bfb279f9aa9bdbcf158e97dd71a467cd2e0c893059b10f78e6b72ada1ed2c919"

SHORTCODE = re.compile(r"[0-9]{5,7}")


class TransactionType(StrEnum):
    PAYBILL = "CustomerPayBillOnline"
    BUY_GOODS = "CustomerBuyGoodsOnline"


@dataclass(frozen=True, slots=True)
class Merchant:
    """A paybill, or, when it has a till, the store (head office) number behind that till."""

    shortcode: str
    passkey: str = field(repr=False)
    till: str | None = None

    @property
    def transaction_type(self) -> TransactionType:
        return TransactionType.BUY_GOODS if self.till else TransactionType.PAYBILL

    @property
    def receiver(self) -> str:
        """What PartyB has to be."""
        return self.till or self.shortcode

    def password_at(self, timestamp: str) -> str:
        plain = f"{self.shortcode}{self.passkey}{timestamp}"
        return base64.b64encode(plain.encode()).decode()

    @property
    def name(self) -> str:
        """What it is called; invented, like the names of payers."""
        return f"SIMULATED SHOP {self.shortcode[-3:]}"

    def describe(self) -> str:
        if self.till:
            return f"store {self.shortcode} with till {self.till}"
        return f"paybill {self.shortcode}"


DEFAULT_MERCHANTS = (
    Merchant("174379", SANDBOX_PASSKEY),
    Merchant("4001001", SANDBOX_PASSKEY, till="5001001"),
)


def parse_merchant(text: str) -> Merchant:
    """Read `600123:passkey` or `600124:passkey:till=5001234`.

    Raises ValueError, with a sentence for the person who typed it.
    """
    shortcode, _, rest = text.partition(":")
    passkey, _, extra = rest.partition(":")
    till = extra.removeprefix("till=") if extra.startswith("till=") else None
    if not SHORTCODE.fullmatch(shortcode) or not passkey or (extra and till is None):
        raise ValueError(
            "A merchant is SHORTCODE:PASSKEY or STORE:PASSKEY:till=TILL, numbers of 5 to 7 digits."
        )
    if till is not None and not SHORTCODE.fullmatch(till):
        raise ValueError("A till number has 5 to 7 digits.")
    return Merchant(shortcode, passkey, till)
