"""Reading a JSON body as strictly as RFC 8259 allows and our database can hold.

Python's reader takes NaN, the last of two equal keys, halves of surrogate pairs, and arrays as
deep as its stack. Each of those is a way to make two readers of one body disagree, or to make the
second one fall over.
"""

import json
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NoReturn

MAX_DEPTH = 32
MAX_INTEGER_DIGITS = 19
_BOM = b"\xef\xbb\xbf"


class JsonFault(ValueError):
    """The body is not JSON that we take; the message says why, in a sentence."""


def parse_json(body: bytes, fraction: Callable[[str], Any] = Decimal) -> Any:
    """The value of a UTF-8 body, its decimal fractions exact by default. Raises JsonFault."""

    def read_fraction(text: str) -> Any:
        if not math.isfinite(float(text)):
            raise JsonFault("A number is too large.")
        return fraction(text)

    if body.startswith(_BOM):
        raise JsonFault("The body starts with a byte order mark. Send plain UTF-8.")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise JsonFault("The body is not UTF-8.") from None
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=read_fraction,
            parse_constant=_constant,
        )
    except json.JSONDecodeError as error:
        raise JsonFault(
            f"The body is not valid JSON: {error.msg}, line {error.lineno} column {error.colno}."
        ) from None
    except RecursionError:
        raise JsonFault(_TOO_DEEP) from None
    _check(value)
    return value


_TOO_DEEP = f"The body nests deeper than {MAX_DEPTH} levels."


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise JsonFault(f"The key {_shown(twice)} stands twice in one object.")
    return found


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > MAX_INTEGER_DIGITS:
        raise JsonFault(f"A whole number has more than {MAX_INTEGER_DIGITS} digits.")
    return int(digits)


def _constant(name: str) -> NoReturn:
    raise JsonFault(f"{name} is not a JSON number.")


def _check(value: Any) -> None:
    """Depth, and strings that UTF-8 cannot carry; without recursion of our own."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                _check_text(item)
            elif isinstance(item, dict):
                for key in item:
                    _check_text(key)
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below:
            return
        level = below
    raise JsonFault(_TOO_DEEP)


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise JsonFault("A string holds half of a surrogate pair.") from None


def _shown(key: str) -> str:
    return json.dumps(key[:40])
