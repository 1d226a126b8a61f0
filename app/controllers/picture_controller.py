"""Pictures of people and products: sent, taken off, and served."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Response, request
from werkzeug.exceptions import NotFound

from app.context import current_work, now
from app.controllers.blueprint import Blueprint
from app.controllers.entity_tags import version_tag, versions_expected
from app.controllers.uploads import BODY, file_of_request
from app.db import transaction
from app.errors import Unavailable
from app.jobs.pictures import put_product_image, put_profile_picture
from app.models import User
from app.models.picture import KEY, MEDIA, WIDTHS_OF_A_PRODUCT, WIDTHS_OF_A_PROFILE
from app.policies import Role
from app.ports import FileStoreError
from app.schemas.item import ProductSchema
from app.schemas.user import UserSchema
from app.security import current_actor, public, require_role, require_user
from app.services.pictures import remove_product_image, remove_profile_picture
from app.utils.json_provider import json_response

View = TypeVar("View", bound=Callable[..., Any])

pictures = Blueprint(
    "pictures",
    __name__,
    description="Pictures of people and products. Send a JPEG, PNG, WebP or GIF as the file"
    " `picture` of a `multipart/form-data` body, or in JSON as `image_base64`. It is turned"
    " upright, stripped of metadata and made into WebP of several widths, none larger than the"
    " original. `picture_url` and `image_url` are paths on this shop, `/media/<key>/<width>.webp`;"
    " the widths are 96 and 320 for people, 320, 640 and 1280 for products.",
)
media = Blueprint("media", __name__, description="Stored pictures.")
_product = ProductSchema()

_WIDTHS = "|".join(str(width) for width in {*WIDTHS_OF_A_PROFILE, *WIDTHS_OF_A_PRODUCT})
_FILE = re.compile(rf"{KEY}/(?:{_WIDTHS})\.webp")
_FOR_GOOD = "public, max-age=31536000, immutable"
_NOTHING_RUNS = "default-src 'none'; sandbox"


def _image_route(*methods: str) -> Callable[[View], View]:
    """One view under both names of the catalogue."""

    def register(view: View) -> View:
        for name in ("items", "products"):
            pictures.route(f"/{name}/<id:item_id>/image", methods=list(methods))(view)
        return view

    return register


@pictures.route("/profile/picture", methods=["PUT", "POST"])
@require_user
@pictures.doc(requestBody=BODY)
@pictures.response(200, UserSchema)
def put_own_picture() -> User:
    """Show a new picture of the caller; the one before is removed. `POST` does the same."""
    return put_profile_picture(current_work(), current_actor(), file_of_request())


@pictures.delete("/profile/picture")
@require_user
@pictures.response(204)
def remove_own_picture() -> None:
    """Show no picture of the caller."""
    with transaction() as session:
        remove_profile_picture(session, current_actor(), now())


@_image_route("PUT", "POST")
@require_role(Role.SELLER, Role.ADMIN)
@pictures.doc(requestBody=BODY)
@pictures.response(200, ProductSchema)
def put_image(item_id: int) -> Response:
    """Show a new picture of a product; the one before is removed. `POST` does the same."""
    product = put_product_image(
        current_work(), current_actor(), item_id, file_of_request(), versions_expected(item_id)
    )
    response = json_response(_product.dump(product))
    response.set_etag(version_tag(product.id, product.version))
    return response


@_image_route("DELETE")
@require_role(Role.SELLER, Role.ADMIN)
@pictures.response(204)
def remove_image(item_id: int) -> None:
    """Show no picture of a product."""
    with transaction() as session:
        remove_product_image(
            session,
            current_actor(),
            item_id,
            now(),
            expected_versions=versions_expected(item_id),
        )


@media.get(f"{MEDIA}/<string:key>/<string:name>")
@public
@media.response(200, {"type": "string", "format": "binary"}, content_type="image/webp")
def show_picture(key: str, name: str) -> Response:
    """A stored picture. What an address shows never changes, so it may be kept for good."""
    path = f"{key}/{name}"
    content = _read(path) if _FILE.fullmatch(path) else None
    if content is None:
        raise NotFound
    response = Response(content, mimetype="image/webp")
    response.headers["Content-Disposition"] = "inline"
    response.headers["Content-Security-Policy"] = _NOTHING_RUNS
    response.headers["Cache-Control"] = _FOR_GOOD
    response.set_etag(f"{key}-{name.partition('.')[0]}")
    response.make_conditional(request)
    return response


def _read(path: str) -> bytes | None:
    try:
        return current_work().ports.files.read(path)
    except FileStoreError as error:
        raise Unavailable("Pictures cannot be shown right now.") from error
