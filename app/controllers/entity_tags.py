"""Strong ETags: readers ask whether anything is new, writers say which version they have read."""

import re

from flask import Response, request

REVALIDATE = "public, no-cache"
"""Anyone may keep it, and asks each time whether it is still so: stock and prices move."""


def public_answer(response: Response, tag: str | None = None) -> Response:
    """Let anyone keep this answer; 304 when the caller has it already.

    Without a ``tag`` it is made of the body.
    """
    if tag is None:
        response.add_etag()
    else:
        response.set_etag(tag)
    response.headers["Cache-Control"] = REVALIDATE
    response.make_conditional(request)
    return response


def version_tag(row_id: int, version: int) -> str:
    return f"{row_id}-{version}"


def versions_expected(row_id: int) -> frozenset[int] | None:
    """The versions of a row that If-Match names; None when any will do.

    A tag that is weak, or not one of this row's, names none: no version will do then.
    """
    if "If-Match" not in request.headers or request.if_match.star_tag:
        return None
    ours = re.compile(rf"{row_id}-([0-9]{{1,9}})")
    matches = [ours.fullmatch(tag) for tag in request.if_match.as_set()]
    return frozenset(int(match[1]) for match in matches if match)
