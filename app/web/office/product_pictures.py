"""A product's picture, sent and taken off."""

from werkzeug.wrappers import Response as AnyResponse

from app.context import current_config, current_work, now
from app.db import transaction
from app.errors import AppError
from app.jobs.pictures import put_product_image
from app.policies import Role
from app.security import current_actor
from app.services.pictures import remove_product_image
from app.web.language import gettext
from app.web.office.blueprint import office
from app.web.office.products import product_page, refuse_stranger
from app.web.pages import Form, done, sent_file, show_again, takes_upload
from app.web.visitors import role_page


@office.post("/office/products/<id:product_id>/image")
@role_page(Role.SELLER, Role.ADMIN)
@takes_upload(lambda config: config.max_picture_bytes)
def put_picture(product_id: int) -> AnyResponse:
    """Show another picture of a product."""
    refuse_stranger(product_id)
    try:
        content = sent_file("picture", current_config().max_picture_bytes)
        put_product_image(current_work(), current_actor(), product_id, content, None)
    except AppError as refusal:

        def again(form: Form) -> str:
            return product_page(product_id, picture_form=form).get_data(as_text=True)

        return show_again(refusal, again, {"picture": ""})
    return done(gettext("The picture is shown."), "office.product", product_id=product_id)


@office.post("/office/products/<id:product_id>/image/delete")
@role_page(Role.SELLER, Role.ADMIN)
def remove_picture(product_id: int) -> AnyResponse:
    """Show no picture of a product."""
    with transaction() as session:
        remove_product_image(session, current_actor(), product_id, now())
    return done(gettext("The picture is removed."), "office.product", product_id=product_id)
