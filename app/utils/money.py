"""Money is an integer number of cents of a Kenyan shilling; decimals live only on the wire."""

CURRENCY = "KES"
CENTS_PER_SHILLING = 100


def cents_to_wire(cents: int) -> int | float:
    """149950 → 1499.5, and 150000 → 1500: a JSON number with at most two decimals."""
    shillings, rest = divmod(cents, CENTS_PER_SHILLING)
    return cents / CENTS_PER_SHILLING if rest else shillings  # the quotient is rounded once


def whole_shillings(cents: int) -> int:
    """Cents rounded up to the next whole shilling: M-Pesa moves no smaller coin."""
    return -(-cents // CENTS_PER_SHILLING)
