"""Order numbers: short enough to type on a phone, with a character that catches a slip.

Six random characters and a check character by ISO/IEC 7064, MOD 37,36: each single wrong character
and nearly each swap of two neighbours is noticed. Letters that look like digits are never made.
"""

import secrets

_ISO_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CLEAR_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM_LENGTH = 6
_M = 36


def check_character(body: str) -> str:
    """The ISO/IEC 7064 MOD 37,36 check character of upper-case letters and digits."""
    product = _M
    for character in body:
        total = (product + _ISO_ALPHABET.index(character)) % _M or _M
        product = (total * 2) % (_M + 1)
    return _ISO_ALPHABET[(_M + 1 - product) % _M]


def new_order_number() -> str:
    """Seven characters, the last one a check character, all of them hard to mistake."""
    while True:
        body = _spell(secrets.randbelow(len(_CLEAR_ALPHABET) ** _RANDOM_LENGTH))
        check = check_character(body)
        if check in _CLEAR_ALPHABET:
            return body + check


def _spell(number: int) -> str:
    letters = []
    for _ in range(_RANDOM_LENGTH):
        number, place = divmod(number, len(_CLEAR_ALPHABET))
        letters.append(_CLEAR_ALPHABET[place])
    return "".join(letters)


def is_order_number(text: str) -> bool:
    """True for a number whose check character fits; case and spaces do not matter."""
    bare = "".join(text.split()).upper()
    if len(bare) != _RANDOM_LENGTH + 1 or any(c not in _ISO_ALPHABET for c in bare):
        return False
    return check_character(bare[:-1]) == bare[-1]


def tidy_order_number(text: str) -> str:
    """What somebody typed as an order number, as it would look: capitals and digits alone."""
    return "".join(character for character in text.upper() if character in _ISO_ALPHABET)


def neighbours_of(typed: str) -> frozenset[str]:
    """The order numbers that one slip of the finger turns into ``typed``, which is none itself.

    A slip is a wrong, a missing or a superfluous character, or two neighbours swapped. The check
    character leaves about one in thirty-six of all that could be meant.
    """
    bare = tidy_order_number(typed)
    length = _RANDOM_LENGTH + 1
    near: set[str] = set()
    for at in range(len(bare) + 1):
        head, tail = bare[:at], bare[at:]
        if len(bare) == length + 1:
            near.add(head + tail[1:])
        elif len(bare) == length - 1:
            near.update(head + letter + tail for letter in _CLEAR_ALPHABET)
        elif len(bare) == length and tail:
            near.update(head + letter + tail[1:] for letter in _CLEAR_ALPHABET)
            near.add(head + tail[1:2] + tail[:1] + tail[2:])
    return frozenset(number for number in near - {bare} if is_order_number(number))
