import re

import pytest

from app.utils.slug import LONGEST_SLUG, SLUG_PATTERN, slugify


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Shoes", "shoes"),
        ("Café & Tea", "cafe-tea"),
        ("  --Men's  Wear!! ", "men-s-wear"),
        ("Größe 42", "groe-42"),
        ("\uff26\uff35\uff2c\uff2c width", "full-width"),  # full-width letters
        ("../../etc/passwd", "etc-passwd"),
        ("衣服", ""),
        ("🎉", ""),
        ("", ""),
    ],
)
def test_a_slug_holds_small_letters_digits_and_single_hyphens(name, slug):
    assert slugify(name) == slug
    assert slug == "" or re.fullmatch(SLUG_PATTERN, slug)


def test_a_long_name_is_cut_and_does_not_end_in_a_hyphen():
    assert slugify("a" * (LONGEST_SLUG - 1) + " bc") == "a" * (LONGEST_SLUG - 1)
    assert len(slugify("a" * 500)) == LONGEST_SLUG
