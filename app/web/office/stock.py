"""What lies on the shelf of a product, and why."""

from functools import partial
from typing import Any

import marshmallow as ma
from flask import Response
from marshmallow import validate
from werkzeug.wrappers import Response as AnyResponse

from app.context import now
from app.db import reading, transaction
from app.models.item import MAX_STOCK
from app.policies import Role
from app.schemas.base import Schema
from app.schemas.catalogue_csv import CellCount
from app.security import current_actor
from app.services.adjust_stock import ADDING, StockChange, StockReason, adjust_stock
from app.services.stock_history import read_stock
from app.web.language import gettext, mark
from app.web.office.blueprint import office
from app.web.office.products import refuse_stranger
from app.web.office.words import MOVEMENT_WORDS, REASON_WORDS
from app.web.pages import Form, asked_page, done, next_address, page, submit
from app.web.visitors import role_page


class StockForm(Schema):
    """How many came or went, and why."""

    reason = ma.fields.Enum(StockReason, by_value=True, required=True)
    quantity = CellCount(
        required=True,
        validate=validate.Range(min=1, max=MAX_STOCK, error=mark("Write how many, at least 1.")),
    )
    seen_change_id = CellCount(required=True, validate=validate.Range(min=0))

    @ma.post_load
    def _command(self, data: dict[str, Any], **_kwargs: Any) -> StockChange:
        return StockChange(**data)


@office.get("/office/products/<id:product_id>/stock")
@role_page(Role.SELLER, Role.ADMIN)
def stock(product_id: int) -> AnyResponse:
    """The counts of a product, and each change of them, newest first."""
    return _stock_page(product_id, Form())


@office.post("/office/products/<id:product_id>/stock")
@role_page(Role.SELLER, Role.ADMIN)
def change_stock(product_id: int) -> AnyResponse:
    """Put pieces on the shelf, or take some away."""
    refuse_stranger(product_id)

    def act(change: StockChange) -> AnyResponse:
        with transaction() as session:
            adjust_stock(session, current_actor(), product_id, change, now())
        return done(gettext("The stock is changed."), "office.stock", product_id=product_id)

    return submit(StockForm(), act, partial(_again, product_id))


def _again(product_id: int, form: Form) -> str:
    return _stock_page(product_id, form).get_data(as_text=True)


def _stock_page(product_id: int, form: Form) -> Response:
    with reading() as session:
        file = read_stock(session, current_actor(), product_id, asked_page())
    return page(
        "office/stock.html",
        file=file,
        form=form,
        next=next_address(file.movements.next_cursor),
        adding=[reason for reason in StockReason if reason in ADDING],
        taking=[reason for reason in StockReason if reason not in ADDING],
        movement_words=MOVEMENT_WORDS,
        reason_words=REASON_WORDS,
    )
