"""The basket: filling it, changing it, and what has changed in the shop meanwhile."""

from werkzeug.wrappers import Response as AnyResponse

from app.context import now
from app.db import reading, transaction
from app.errors import NotFound
from app.services.basket import BasketView, add_to_basket, look_into_basket, set_quantity
from app.services.place_order import MAX_UNITS_OF_A_PRODUCT, WantedLine
from app.web.basket_cookie import basket_owner, basket_to_fill, keep_basket
from app.web.buying.blueprint import buying
from app.web.buying.forms import AddForm, ChangeForm
from app.web.buying.words import in_plain_words
from app.web.foreign_forms import needs_no_token
from app.web.language import gettext
from app.web.pages import Form, done, page, submit
from app.web.visitors import public_page


@buying.get("/basket")
@public_page
def show_basket() -> AnyResponse:
    """What is in the basket, at today's prices."""
    return _basket_page(read_basket(), Form())


def _basket_page(basket: BasketView, form: Form) -> AnyResponse:
    return page("buying/basket.html", basket=basket, form=form, most=MAX_UNITS_OF_A_PRODUCT)


def read_basket() -> BasketView:
    with reading() as session:
        return look_into_basket(session, basket_owner())


@buying.post("/basket/add")
@public_page
@needs_no_token
def add() -> AnyResponse:
    """Put a product in."""
    return submit(AddForm(), _add, basket_again)


def _add(wanted: WantedLine) -> AnyResponse:
    with transaction() as session:
        product = add_to_basket(session, basket_to_fill(), wanted, now())
    said = gettext("In your basket: %(name)s") % {"name": product.name}
    return keep_basket(done(said, "buying.show_basket"))


@buying.post("/basket/change")
@public_page
def change() -> AnyResponse:
    """Have more or less of a product, or none."""
    return submit(ChangeForm(), _change, basket_again)


def _change(wanted: WantedLine) -> AnyResponse:
    owner = basket_owner()
    if owner is None:
        raise NotFound("That product is not in your basket any more.", code="not_in_basket")
    with transaction() as session:
        name = set_quantity(session, owner, wanted, now())
    said = gettext("Taken out: %(name)s") if wanted.quantity == 0 else gettext("Changed: %(name)s")
    return keep_basket(done(said % {"name": name}, "buying.show_basket"))


def basket_again(form: Form) -> str:
    """The basket under a refused form."""
    basket = read_basket()
    has_its_line = any(str(line.product.id) == form.value("product_id") for line in basket.lines)
    said = in_plain_words(form, *(["quantity"] if has_its_line else []))
    return _basket_page(basket, said).get_data(as_text=True)
