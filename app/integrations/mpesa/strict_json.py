"""JSON from strangers: one meaning or none."""

import json
from decimal import Decimal, InvalidOperation
from typing import Any


class UnreadableJson(ValueError):
    """Not JSON, or JSON that two readers could understand differently."""


def load_strict_json(raw: bytes, *, nan_as_null: bool = False) -> Any:
    """The value of one JSON text in UTF-8. Numbers with a point or exponent become Decimal.

    A name given twice is refused, since another reader may have taken the other value. ``NaN``
    and ``Infinity``, which are not JSON, are refused or read as null. Raises UnreadableJson and
    nothing else.
    """
    try:
        return json.loads(
            raw.decode("utf-8-sig"),
            parse_float=Decimal,
            parse_constant=_read_null if nan_as_null else _refuse_constant,
            object_pairs_hook=_build_object,
        )
    except RecursionError:
        raise UnreadableJson("nested too deeply") from None
    except InvalidOperation:
        raise UnreadableJson("a number out of all bounds") from None
    except UnicodeDecodeError:
        raise UnreadableJson("not UTF-8") from None
    except UnreadableJson:
        raise
    except ValueError:
        # Also an integer of more digits than Python agrees to convert.
        raise UnreadableJson("not JSON") from None


def _read_null(_name: str) -> None:
    return None


def _refuse_constant(name: str) -> None:
    raise UnreadableJson(f"{name} is no number")


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    built = dict(pairs)
    if len(built) != len(pairs):
        raise UnreadableJson("a name is given twice")
    return built
