"""A product, and what people say of it."""

from typing import Any

from flask import Response
from marshmallow import validate
from werkzeug.wrappers import Response as AnyResponse

from app.context import current_config, now
from app.db import reading, transaction
from app.errors import NotFound
from app.models import Product
from app.models.comment import HIGHEST_RATING, LOWEST_RATING
from app.models.picture import WIDTHS_OF_A_PRODUCT
from app.policies import Actor, may_edit_product, may_remove_comment
from app.schemas.base import PlainText, QueryInteger, Schema
from app.schemas.comment import LONGEST_COMMENT
from app.security import current_actor
from app.services.comments import NewComment, add_comment, delete_comment, find_comment
from app.services.show_product import ProductView, show_product
from app.web.formats import sized
from app.web.language import gettext, mark
from app.web.pages import Form, asked_page, done, next_address, page, submit, wants_fragment
from app.web.storefront.blueprint import storefront
from app.web.storefront.structured_data import structured_data
from app.web.visitors import public_page, user_page, visitor

COMMENTS = 10
_EXCERPT_LENGTH = 155


class CommentForm(Schema):
    """What the API takes, with the rating as a form sends it."""

    body = PlainText(
        min=1,
        max=LONGEST_COMMENT,
        multiline=True,
        required=True,
        error_messages={"required": mark("Write something first.")},
    )
    rating = QueryInteger(
        load_default=None,
        validate=validate.Range(
            LOWEST_RATING, HIGHEST_RATING, error=f"Must be {LOWEST_RATING} to {HIGHEST_RATING}."
        ),
    )


@storefront.get("/p/<id:product_id>")
@public_page
def product_page(product_id: int) -> Response:
    """A product, and what people say of it."""
    return _product_page(product_id, Form())


@storefront.post("/p/<id:product_id>/comments")
@user_page
def comment(product_id: int) -> AnyResponse:
    """Say something of a product."""

    def act(said: dict[str, Any]) -> AnyResponse:
        with transaction() as session:
            add_comment(session, current_actor(), NewComment(product_id, **said), now())
        return done(
            gettext("Thank you for your comment."),
            "storefront.product_page",
            product_id=product_id,
            _anchor="comments",
        )

    return submit(
        CommentForm(), act, lambda form: _product_page(product_id, form).get_data(as_text=True)
    )


@storefront.post("/p/<id:product_id>/comments/<id:comment_id>/delete")
@user_page
def remove_comment(product_id: int, comment_id: int) -> AnyResponse:
    """Take a comment away: its author, the product's seller and admins may."""
    with transaction() as session:
        if find_comment(session, comment_id).comment.product_id != product_id:
            raise NotFound("There is no such comment.", code="comment_not_found")
        delete_comment(session, current_actor(), comment_id)
    return done(
        gettext("The comment is gone."),
        "storefront.product_page",
        product_id=product_id,
        _anchor="comments",
    )


def _product_page(product_id: int, form: Form) -> Response:
    with reading() as session:
        view = show_product(session, product_id, asked_page(COMMENTS))
    actor, product = visitor(), view.product
    address = f"{current_config().public_url}/p/{product.id}"
    picture = _own_picture(product)
    template = "storefront/_comments.html" if wants_fragment() else "storefront/product.html"
    response = page(
        template,
        view=view,
        product=product,
        comments=view.comments.rows,
        next=next_address(view.comments.next_cursor),
        form=form,
        excerpt=_excerpt(product.description),
        address=address,
        picture=picture,
        structured=structured_data(product, address, picture),
        widths=WIDTHS_OF_A_PRODUCT,
        may_edit=actor is not None and may_edit_product(actor, product),
        removable=_removable(actor, view),
    )
    response.vary.add("HX-Request")
    return response


def _removable(actor: Actor | None, view: ProductView) -> set[int]:
    """The comments that the visitor may take away."""
    if actor is None:
        return set()
    return {
        said.comment.id
        for said in view.comments.rows
        if may_remove_comment(actor, said.comment, view.product)
    }


def _own_picture(product: Product) -> str | None:
    """The whole address of the product's picture, if the shop itself keeps it."""
    url = product.image_url or ""
    if not url.startswith("/") or url.startswith("//"):
        return None
    return current_config().public_url + sized(url, WIDTHS_OF_A_PRODUCT[-1])


def _excerpt(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _EXCERPT_LENGTH else line[: _EXCERPT_LENGTH - 1].rstrip() + "…"
