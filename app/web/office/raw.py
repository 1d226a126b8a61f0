"""What others sent us, made readable without changing a word of it."""

import json
import re

_PIECES = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s"{}\[\],:]+|[{}\[\],:]', re.DOTALL)
_DEEPEST_INDENT = 8


def readable(body: bytes) -> str:
    """JSON with a line for each value, every name and number as it was written: duplicates stay,
    ``1500.00`` is not made ``1500.0``. Anything else as it is.

    Characters that cannot be printed, or that turn the direction of text, are shown by their code.
    """
    text = body.decode("utf-8", "backslashreplace")
    return _printable(_indented(text) if _is_json(text) else text)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _indented(text: str) -> str:
    made: list[str] = []
    depth = 0
    pieces = _PIECES.findall(text)
    for place, piece in enumerate(pieces):
        following = pieces[place + 1] if place + 1 < len(pieces) else ""
        if piece in "{[":
            depth += 1
            made.append(piece + ("" if following in "}]" else _new_line(depth)))
        elif piece in "}]":
            depth -= 1
            empty = place > 0 and pieces[place - 1] in "{["
            made.append(("" if empty else _new_line(depth)) + piece)
        elif piece == ",":
            made.append(piece + _new_line(depth))
        else:
            made.append(": " if piece == ":" else piece)
    return "".join(made)


def _new_line(depth: int) -> str:
    return "\n" + "  " * min(depth, _DEEPEST_INDENT)


def _printable(text: str) -> str:
    return "".join(
        character
        if character.isprintable() or character in "\n\t"
        else character.encode("unicode_escape").decode("ascii")
        for character in text.replace("\r\n", "\n")
    )
