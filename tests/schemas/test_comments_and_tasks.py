"""What a comment, a task and their lists may be sent as; anything else names its field."""

import marshmallow as ma
import pytest

from app.schemas.comment import NewCommentSchema
from app.schemas.notification import NotificationQuery
from app.schemas.task import NewTaskSchema, TaskChangeSchema, TaskQuery
from app.services.change_tasks import TaskChange

COMMENT = {"item_id": 1, "body": "Warm"}
TASK = {"title": "Pack"}
NO_WHOLE_NUMBER = ("5", 5.0, 5.7, True, [], {}, 10**30)


def faults(schema: type[ma.Schema], sent: object) -> set[str]:
    """The fields that are refused."""
    with pytest.raises(ma.ValidationError) as caught:
        schema().load(sent)
    return set(caught.value.messages)


def test_attack_43_a_rating_is_a_whole_number_from_1_to_5():
    for rating in (*NO_WHOLE_NUMBER, 0, 6, -1):
        assert faults(NewCommentSchema, {**COMMENT, "rating": rating}) == {"rating"}, rating
    for rating in (None, 1, 5):
        assert NewCommentSchema().load({**COMMENT, "rating": rating}).rating == rating
    assert NewCommentSchema().load(COMMENT).rating is None


def test_attacks_37_and_40_a_comment_has_three_fields():
    for body in ("", "  \n ", None, 5, [], "a\0b", "a\x1bb", "\ud800", "\u202eabc", "x" * 2001):
        assert faults(NewCommentSchema, {**COMMENT, "body": body}) == {"body"}, body
    for item_id in (*NO_WHOLE_NUMBER, 0, -1, None):
        assert faults(NewCommentSchema, {**COMMENT, "item_id": item_id}) == {"item_id"}, item_id
    for field in ("user_id", "user", "id", "created_at", "verified_purchase", "product_id"):
        assert faults(NewCommentSchema, {**COMMENT, field: 1}) == {field}
    assert faults(NewCommentSchema, {}) == {"item_id", "body"}


def test_attacks_63_and_64_text_is_kept_as_it_was_sent():
    for text in ("<script>alert(1)</script>", "{{7*7}} {% x %} ${7*7}", "</script>\n\t' OR 1=1 --"):
        assert NewCommentSchema().load({**COMMENT, "body": text}).body == text
        assert NewTaskSchema().load({**TASK, "description": text}).description == text


def test_attacks_37_and_38_a_task_takes_its_own_fields_in_their_form_alone():
    bad = {
        "title": ("", "  ", None, 5, "a\nb", "a\0b", "x" * 201),
        "description": (None, 5, "a\0b", "x" * 10_001),
        "status": ("", "Todo", "doing", None, 5, []),
        "priority": ("", "urgent", None, 1),
        "due_at": ("", "tomorrow", "2026-11-22", "2026-11-22T09:00:00", 1, "9999-99-99T00:00:00Z"),
        "assignee_id": (*NO_WHOLE_NUMBER, 0, -1),
        "order_id": (*NO_WHOLE_NUMBER, 0, -1),
    }
    for field, values in bad.items():
        for value in values:
            for schema in (NewTaskSchema, TaskChangeSchema):
                assert faults(schema, {**TASK, field: value}) == {field}, (field, value)
    for field in ("id", "kind", "owner_id", "payment_id", "dedupe_key", "created_at", "user_id"):
        for schema in (NewTaskSchema, TaskChangeSchema):
            assert faults(schema, {**TASK, field: 1}) == {field}
    assert faults(NewTaskSchema, {}) == {"title"}
    assert TaskChangeSchema().load({}) == TaskChange()


def test_filters_that_make_no_sense_are_named():
    bad = {
        "status": ("", "Todo", "doing"),
        "kind": ("", "refund"),
        "assignee_id": ("", "0", "-1", "1_0", "1.5", "\u0665", str(2**63)),
        "order_id": ("", "x"),
        "due_before": ("", "yesterday", "2026-11-22"),
    }
    for field, values in bad.items():
        for value in values:
            assert faults(TaskQuery, {field: value}) == {field}, (field, value)
    for value in ("", "maybe", "2"):
        assert faults(NotificationQuery, {"unread": value}) == {"unread"}
