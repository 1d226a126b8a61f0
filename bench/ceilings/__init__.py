"""Views that show what the server could do at best. Only the bench's app has them."""

from flask import Flask

from bench.ceilings.constant import constant
from bench.ceilings.driver import driver


def register_ceilings(app: Flask) -> None:
    for blueprint in (constant, driver):
        app.register_blueprint(blueprint, url_prefix="/bench")
