"""Pictures as clients send and see them."""

import re
from base64 import b64encode
from dataclasses import replace

import pytest
from sqlalchemy import select

from app.context import WORK
from app.jobs.work import Work
from app.models import Picture, User
from app.policies import Role
from app.schemas.picture import EXAMPLE
from tests.controllers.callers import is_refused
from tests.controllers.sign_in import new_caller, sign_in
from tests.core import database_snapshot
from tests.factories import make_product
from tests.pictures import (
    BLUE,
    DAMAGED,
    NOT_PICTURES,
    RED,
    noise,
    opened,
    picture,
    png_bomb,
)

PROFILE = "/api/profile/picture"
ADDRESS = re.compile(r"/media/[0-9a-f]{32}/(320|640)\.webp")
BOUNDARY = "x" * 30
FORM = f"multipart/form-data; boundary={BOUNDARY}"


def base64(content: bytes) -> dict:
    return {"json": {"image_base64": b64encode(content).decode()}}


def part(name: str, content: bytes = b"x", *, filename: str | None = None) -> bytes:
    """One part of a form, as bytes on the wire."""
    named = f'; filename="{filename}"' if filename is not None else ""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'
    return head.encode() + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


def raw(*parts: bytes, content_type: str = FORM) -> dict:
    return {"data": b"".join(parts), "content_type": content_type}


def form(content: bytes, name: str = "me.png", field: str = "picture") -> dict:
    return raw(part(field, content, filename=name), END)


@pytest.fixture
def amina(app, database):
    return new_caller(app, database, Role.CUSTOMER)


@pytest.fixture
def seller(app, database):
    return new_caller(app, database, Role.SELLER)


@pytest.fixture
def product(database, seller):
    with database.transaction() as session:
        return make_product(session, seller[0], image_url="https://elsewhere.example/boot.jpg")


def test_a_user_shows_a_picture_and_takes_it_off(client, amina, files):
    user, headers = amina
    sent = client.put(PROFILE, headers=headers, **form(noise("JPEG", (900, 600))))

    address = sent.get_json()["picture_url"]
    assert (sent.status_code, sent.get_json()["id"]) == (200, user.id)
    assert ADDRESS.fullmatch(address)
    assert address.endswith("/320.webp")
    assert client.get(f"/api/users/{user.id}").get_json()["picture_url"] == address
    assert opened(client.get(address).data).size == (320, 320)
    assert opened(client.get(address.replace("/320.", "/96.")).data).size == (96, 96)
    assert len(files.files) == 2

    for _ in range(2):
        assert client.delete(PROFILE, headers=headers).status_code == 204
        assert client.get("/api/profile", headers=headers).get_json()["picture_url"] is None


def test_a_picture_comes_in_base64_as_well(client, amina):
    for body in (EXAMPLE, EXAMPLE.partition(",")[2], EXAMPLE[:60] + "\r\n" + EXAMPLE[60:]):
        sent = client.post(PROFILE, headers=amina[1], json={"image_base64": body})
        assert sent.status_code == 200, sent.text
        assert opened(client.get(sent.get_json()["picture_url"]).data).size == (1, 1)


def test_a_product_shows_a_picture_of_three_sizes(client, seller, product):
    address = None
    for number, name in enumerate(("items", "products"), start=1):
        before = client.get(f"/api/items/{product.id}").headers["ETag"]
        field = ("picture", "image")[number - 1]
        sent = client.put(
            f"/api/{name}/{product.id}/image",
            headers={**seller[1], "If-Match": before},
            **form(noise("PNG", (1400, 700)), field=field),
        )
        assert sent.status_code == 200, sent.text
        assert sent.get_json() == client.get(f"/products/{product.id}").get_json()
        assert sent.headers["ETag"] == f'"{product.id}-{number + 1}"'
        assert sent.get_json()["image_url"] != address
        address = sent.get_json()["image_url"]
        assert address.endswith("/640.webp")
        for width in (320, 640, 1280):
            image = opened(client.get(address.replace("/640.", f"/{width}.")).data)
            assert image.size == (width, width // 2)

    assert client.delete(f"/products/{product.id}/image", headers=seller[1]).status_code == 204
    assert client.get(f"/products/{product.id}").get_json()["image_url"] is None


def test_attack_46_a_stranger_and_a_late_comer_change_no_image(
    app, client, database, files, seller, product
):
    other = new_caller(app, database, Role.SELLER)
    before = database_snapshot(database)
    path = f"/api/items/{product.id}/image"
    late = {**seller[1], "If-Match": f'"{product.id}-7"'}
    is_refused(client.put(path, headers=other[1], **form(picture())), 403, "not_your_product")
    is_refused(client.delete(path, headers=other[1]), 403, "not_your_product")
    is_refused(client.put(path, headers=late, **form(picture())), 412, "precondition_failed")
    is_refused(client.delete(path, headers=late), 412, "precondition_failed")
    missing = client.put("/api/items/999/image", headers=seller[1], **form(picture()))
    is_refused(missing, 404, "product_not_found")
    assert database_snapshot(database) == before
    assert files.files == {}


def test_attack_69_what_is_no_picture_changes_nothing(client, database, files, amina):
    before = database_snapshot(database)
    for send in (form, base64):
        for content in NOT_PICTURES.values():
            answer = client.put(PROFILE, headers=amina[1], **send(content))
            is_refused(answer, 415, "not_a_picture")
        for content in DAMAGED.values():
            answer = client.put(PROFILE, headers=amina[1], **send(content))
            is_refused(answer, 400, "picture_damaged", "picture")
        bomb = client.put(PROFILE, headers=amina[1], **send(png_bomb(13_000, 13_000)))
        is_refused(bomb, 413, "picture_too_large")
    assert database_snapshot(database) == before
    assert files.files == {}


def test_attack_68_no_name_of_a_client_becomes_a_name_of_ours(client, files, amina):
    names = (
        *("../../x", "..\\x", ".htaccess", "x.png\0.svg", "n" * 300, "CON", "файл.png", "…"),
        *("a.php.png", "/etc/passwd", "%2e%2e%2fx"),
    )
    for name in names:
        assert client.put(PROFILE, headers=amina[1], **form(picture(), name)).status_code == 200
    assert len(files.files) == 2 * len(names)
    assert all(re.fullmatch(r"[0-9a-f]{32}/(96|320)\.webp", path) for path in files.files)


def test_attack_73_crooked_forms_and_texts_are_refused(client, database, amina):
    image = picture()
    digits = EXAMPLE.partition(",")[2]
    crooked = {
        "1,001 parts": (413, raw(*[part(f"p{n}") for n in range(1001)], END)),
        "a text of 10 MB": (413, raw(part("picture", bytes(10_000_000)), END)),
        "a text of 1 MB": (413, raw(part("picture", bytes(1_000_000)), END)),
        "cut off": (400, raw(part("picture", image, filename="x.png")[:-20])),
        "without its end": (400, raw(part("picture", image, filename="x.png"))),
        "of another boundary": (400, raw(END, content_type="multipart/form-data; boundary=y")),
        "without a boundary": (400, raw(END, content_type="multipart/form-data")),
        "empty": (400, raw(content_type=FORM)),
        "without a file": (400, raw(END)),
        "without a file name": (400, raw(part("picture", image), END)),
        "an empty file": (400, raw(part("picture", b"", filename="x.png"), END)),
        "two files": (400, raw(*[part("picture", image, filename="x.png")] * 2, END)),
        "a file under each name": (
            400,
            raw(*[part(name, image, filename="x") for name in ("picture", "image")], END),
        ),
        "another field": (400, raw(part("avatar", image, filename="x.png"), END)),
        "a field too many": (
            400,
            raw(part("picture", image, filename="x.png"), part("role", b"admin"), END),
        ),
        "no body": (400, {}),
        "the bare file": (415, {"data": image, "content_type": "image/png"}),
        "another form": (415, {"data": {"picture": "x"}}),
        "no base64": (400, {"json": {"image_base64": "no base64!"}}),
        "base64 without its end": (400, {"json": {"image_base64": digits[:-1]}}),
        "an address": (400, {"json": {"image_base64": "http://169.254.169.254/latest"}}),
        "data without base64": (400, {"json": {"image_base64": "data:image/png,x"}}),
        "nothing in base64": (400, {"json": {"image_base64": "data:image/png;base64,"}}),
        "a number": (400, {"json": {"image_base64": 7}}),
        "an unknown member": (400, {"json": {"image_base64": digits, "url": "http://x.example"}}),
    }
    before = database_snapshot(database)
    for name, (status, sent) in crooked.items():
        answer = client.put(PROFILE, headers=amina[1], **sent)
        assert answer.status_code == status, (name, answer.text)
        assert answer.mimetype == "application/problem+json", name
        assert database_snapshot(database) == before, name


def test_only_pictures_may_be_bigger_than_other_bodies(app, client, database, config, amina):
    work = app.extensions[WORK]
    app.extensions[WORK] = Work(
        database, work.ports, replace(work.config, max_picture_bytes=2 * 1024 * 1024)
    )
    fitting = picture() + bytes(2 * 1024 * 1024 - len(picture()))
    for send in (form, base64):
        assert client.put(PROFILE, headers=amina[1], **send(fitting)).status_code == 200
        before = database_snapshot(database)
        bigger = client.put(PROFILE, headers=amina[1], **send(fitting + b"x"))
        is_refused(bigger, 413, "body_too_large")
        huge = client.put(PROFILE, headers=amina[1], **send(fitting * 3))
        is_refused(huge, 413, "body_too_large")
        assert database_snapshot(database) == before
    other = client.put("/api/profile", headers=amina[1], json={"username": "a" * 1_100_000})
    is_refused(other, 413, "body_too_large")


def states(database) -> list[str]:
    with database.reading() as session:
        return list(session.scalars(select(Picture.state).order_by(Picture.id)))


def test_attack_74_so_many_pictures_a_day(app, client, database, files, clock, amina):
    work = app.extensions[WORK]
    app.extensions[WORK] = Work(database, work.ports, replace(work.config, pictures_per_day=2))
    for _ in range(2):
        assert client.put(PROFILE, headers=amina[1], **form(picture())).status_code == 200
    before, kept = states(database), dict(files.files)
    clock.advance(hours=1)
    answer = client.put(PROFILE, headers=sign_in(app, amina[0]), **form(picture()))
    is_refused(answer, 429, "too_many_pictures")
    assert answer.headers["Retry-After"] == "82801"
    assert (states(database), files.files) == (before, kept)
    clock.advance(hours=23)
    assert client.put(PROFILE, headers=sign_in(app, amina[0]), **form(picture())).status_code == 200


def test_attack_74_a_store_that_is_down_leaves_the_old_picture(client, database, files, amina):
    user, headers = amina
    shown = client.put(PROFILE, headers=headers, **form(picture(color=RED))).get_json()
    files.is_down = True
    answer = client.put(PROFILE, headers=headers, **form(picture(color=BLUE)))
    is_refused(answer, 503, "storage_unavailable")
    assert answer.headers["Retry-After"] == "5"
    with database.reading() as session:
        assert session.get_one(User, user.id).picture_url == shown["picture_url"]
    unseen = client.get(shown["picture_url"])
    assert (unseen.status_code, unseen.headers["Cache-Control"]) == (503, "no-store")
    files.is_down = False
    assert opened(client.get(shown["picture_url"]).data).getpixel((5, 5))[0] > 200


def test_attack_75_a_picture_is_served_as_nothing_else(client, files, amina):
    address = client.put(PROFILE, headers=amina[1], **form(picture())).get_json()["picture_url"]
    served = client.get(address)
    assert served.status_code == 200
    assert {
        name: served.headers[name]
        for name in (
            *("Content-Type", "X-Content-Type-Options", "Content-Disposition"),
            *("Content-Security-Policy", "Cache-Control"),
        )
    } == {
        "Content-Type": "image/webp",
        "X-Content-Type-Options": "nosniff",
        "Content-Disposition": "inline",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "public, max-age=31536000, immutable",
    }
    again = client.get(address, headers={"If-None-Match": served.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert client.head(address).headers["Content-Length"] == str(len(served.data))

    key = address.split("/")[2]
    files.files["secret"] = files.files[f"{key}/secret.webp"] = b"secret"
    files.files[f"{key}/.env"] = files.files[f"{key}/0320.webp"] = b"secret"
    for path in (
        *("/media", "/media/", f"/media/{key}", f"/media/{key}/", "/media/secret"),
        *(f"/media/{key}/{name}" for name in ("640.webp", "0320.webp", "320", "320.png", ".env")),
        *(
            f"/media/{key}/{name}"
            for name in ("secret.webp", "320.webp%00", "320.webp%0a", "٣20.webp")
        ),
        f"/media/{key}/../secret",
        f"/media/{key}/..%2f..%2fsecret",
        f"/media/{key}//320.webp",
        f"/media/{key.upper()}/320.webp" if key.upper() != key else "/media/X/320.webp",
        "/media/../.env",
        "/media/%2e%2e/.env",
        "/media/.git/config",
    ):
        refused = client.get(path)
        assert refused.status_code == 404, path
        assert b"secret" not in refused.data
        assert refused.headers["Cache-Control"] == "no-store"


def test_attack_67_an_address_given_by_a_client_is_kept_and_never_fetched(client, seller, product):
    kept = ("/media/boot.webp", "/static/boot.png", "http://169.254.169.254/x.png")
    for address in kept:
        sent = client.put(
            f"/api/items/{product.id}", headers=seller[1], json={"image_url": address}
        )
        assert (sent.status_code, sent.get_json()["image_url"]) == (200, address)
    for address in ("//evil.example/x.png", "javascript:alert(1)", "file:///etc/passwd", "x.png"):
        sent = client.put(
            f"/api/items/{product.id}", headers=seller[1], json={"image_url": address}
        )
        is_refused(sent, 400, "invalid_input", "image_url")
