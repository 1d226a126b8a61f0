"""Searching one's own tasks: few enough to be read and looked through."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.models import Task
from app.policies import Actor, visible_tasks
from app.services.search.scoring import likeness, score
from app.services.search.values import Term
from app.services.search.words import words_of

_MOST_READ = 500
_MOST_LETTERS = 1_000


def find_tasks(session: Session, actor: Actor, terms: tuple[Term, ...]) -> dict[int, int]:
    """Scores by id of the newest tasks that the actor may see and that hold all words in their
    title or at the beginning of their description.
    """
    rows = session.execute(
        select(Task.id, Task.title, func.substr(Task.description, 1, _MOST_LETTERS))
        .where(visible_tasks(actor))
        .order_by(Task.id.desc())
        .limit(_MOST_READ)
    )
    found: dict[int, int] = {}
    for task_id, title, description in rows:
        words = words_of(title)
        everything = words + words_of(description)
        if all(likeness(term, everything) for term in terms):
            found[task_id] = score(_without_categories(terms), words)
    return found


def _without_categories(terms: tuple[Term, ...]) -> tuple[Term, ...]:
    return tuple(Term(term.word, term.forms, term.is_prefix) for term in terms)
