"""Who answers where. Every blueprint answers under /api; some of its views also at the root."""

import flask_smorest
from flask import Flask

from app.controllers.answer_controller import answers
from app.controllers.auth_controller import auth
from app.controllers.blueprint import Blueprint
from app.controllers.c2b_controller import c2b
from app.controllers.catalogue_csv_controller import spreadsheets
from app.controllers.category_controller import categories
from app.controllers.comment_controller import comments
from app.controllers.docs_controller import docs
from app.controllers.exception_controller import exceptions
from app.controllers.health_controller import health
from app.controllers.item_controller import items
from app.controllers.metrics_controller import operations
from app.controllers.notification_controller import notifications
from app.controllers.order_controller import orders
from app.controllers.payment_controller import payments
from app.controllers.picture_controller import media, pictures
from app.controllers.reconciliation_controller import reconciliation
from app.controllers.refund_controller import refunds
from app.controllers.search_controller import searching
from app.controllers.task_controller import tasks
from app.controllers.user_controller import users
from app.controllers.webhook_controller import webhooks

BLUEPRINTS: tuple[tuple[Blueprint, bool], ...] = (
    (auth, False),
    (users, True),
    (items, True),
    (spreadsheets, True),
    (categories, False),
    (orders, True),
    (payments, True),
    (reconciliation, False),
    (c2b, False),
    (refunds, True),
    (answers, False),
    (pictures, True),
    (comments, False),
    (exceptions, False),
    (tasks, False),
    (searching, False),
    (notifications, False),
    (webhooks, False),
)
"""Each with whether its views answer at the root as well."""


def register_controllers(app: Flask, api: flask_smorest.Api) -> None:
    app.register_blueprint(docs)
    for blueprint, has_root_alias in BLUEPRINTS:
        api.register_blueprint(blueprint, url_prefix="/api")
        if has_root_alias:
            blueprint.register_alias(app)
    api.register_blueprint(media)
    api.register_blueprint(health)
    api.register_blueprint(operations)
