"""What a page costs on a slow network: bytes over the wire, and requests before it can be read."""

import re

from app.policies import Role
from tests.factories import make_category, make_product, make_user

HEAVIEST = 50_000
_NEEDED = re.compile(r'<link rel="stylesheet" href="([^"]+)"|<script src="([^"]+)"')
_PICTURES = re.compile(r"<img [^>]*>")


def test_the_first_page_weighs_less_than_fifty_kilobytes(app, database):
    with database.transaction() as session:
        seller = make_user(session, Role.SELLER)
        for number in range(30):
            category = make_category(session, f"Shelf {number}")
            name = f"A product with a name of some length, number {number}"
            image = f"/static/demo/{number}.svg"
            make_product(session, seller, name=name, category=category, image_url=image)
    client = app.test_client()
    packed = {"Accept-Encoding": "gzip, br"}
    page = client.get("/", headers=packed)
    assert page.headers["Content-Encoding"] in {"gzip", "br"}
    text = client.get("/").text
    needed = [style or script for style, script in _NEEDED.findall(text)]
    assert len(needed) == 2  # one stylesheet, one script: three requests with the page itself
    weight = len(page.data) + sum(
        len(client.get(one, headers=packed, buffered=True).data) for one in needed
    )
    assert 0 < weight < HEAVIEST
    pictures = _PICTURES.findall(text)
    assert len(pictures) > 10
    assert all('loading="lazy"' in picture for picture in pictures)
