"""Many hands that start at the same moment."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, TypeVar

from app.errors import AppError

Result = TypeVar("Result")


def together(runners: Sequence[Callable[[], Result]]) -> list[Result | Exception]:
    """Run all at once, each in a thread of its own; an exception is an answer like any other."""
    line = Barrier(len(runners), timeout=20)

    def start(run: Callable[[], Result]) -> Result | Exception:
        line.wait()
        try:
            return run()
        except Exception as error:  # noqa: BLE001 - the test says which were to be expected
            return error

    with ThreadPoolExecutor(len(runners)) as pool:
        return list(pool.map(start, runners))


def tally(answers: Sequence[Any]) -> dict[Any, int]:
    """How often each answer came; refusals by their code, what was not expected in full."""
    found: dict[Any, int] = {}
    for answer in answers:
        key = answer
        if isinstance(answer, Exception):
            key = answer.code if isinstance(answer, AppError) else repr(answer)
        found[key] = found.get(key, 0) + 1
    return found


def posting(app, path, headers=None, **options):
    """A start that sends a request of its own, and gives its status and body."""

    def post() -> tuple[int, bytes]:
        response = app.test_client().post(path, headers=headers, buffered=True, **options)
        return response.status_code, response.data

    return post
