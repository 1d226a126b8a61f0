"""The part of an address that is made from a name."""

import re
import unicodedata

LONGEST_SLUG = 100
SLUG_PATTERN = r"[a-z0-9]+(?:-[a-z0-9]+)*"
_GAPS = re.compile(r"[^a-z0-9]+")


def slugify(name: str) -> str:
    """``Café & Tea`` → ``cafe-tea``: small ASCII letters and digits with hyphens between them.

    Answers "" where a name holds no letter or digit of that kind: then somebody has to choose.
    """
    bare = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return _GAPS.sub("-", bare).strip("-")[:LONGEST_SLUG].rstrip("-")
