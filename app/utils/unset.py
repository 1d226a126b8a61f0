"""The difference between "make it empty" and "leave it alone" in a partial change."""

from enum import Enum
from typing import Final


class Unset(Enum):
    UNSET = "unset"


UNSET: Final = Unset.UNSET
"""Stands for a field that the caller did not name; None is a value like any other."""
