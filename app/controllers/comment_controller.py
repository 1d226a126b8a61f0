"""What people say of products."""

from flask import Response
from sqlalchemy.orm import Session

from app.context import now
from app.controllers.blueprint import Blueprint
from app.controllers.entity_tags import public_answer
from app.controllers.idempotency import Answer, run_once
from app.controllers.paging import page_response
from app.db import reading, transaction
from app.schemas.base import page_of
from app.schemas.comment import CommentQuery, CommentSchema, NewCommentSchema
from app.schemas.problem import ProblemSchema
from app.security import current_actor, public, require_user
from app.services.comments import NewComment, add_comment, delete_comment, list_comments
from app.services.pages import PageRequest

comments = Blueprint("comments", __name__, description="What people say of products.")
_schema = CommentSchema()
_BY_ID = "/comments/<id:item_or_comment_id>"
"""One address with two meanings, so that it has one name for both."""


@comments.post("/comments")
@require_user
@comments.arguments(NewCommentSchema)
@comments.response(201, CommentSchema)
@comments.alt_response(404, schema=ProblemSchema)
def post_comment(new: NewComment) -> Response:
    """Say something of a product, with a rating or without.

    You may comment again; of your ratings of a product the latest counts.
    """

    def work(session: Session) -> Answer:
        return Answer(201, _schema.dump(add_comment(session, current_actor(), new, now())))

    return run_once(work)


@comments.get(_BY_ID)
@public
@comments.arguments(CommentQuery, location="query")
@comments.response(200, page_of(CommentSchema))
def get_comments(page: PageRequest, item_or_comment_id: int) -> Response:
    """The comments on the product with this id, newest first."""
    with reading() as session:
        found = list_comments(session, item_or_comment_id, page)
    return public_answer(page_response(found, _schema))


@comments.delete(_BY_ID)
@require_user
@comments.response(204)
@comments.alt_response(403, schema=ProblemSchema)
def remove_comment(item_or_comment_id: int) -> None:
    """Take away the comment with this id: its author, the product's seller and admins may."""
    with transaction() as session:
        delete_comment(session, current_actor(), item_or_comment_id)
