"""Searching one's own tasks: few enough to be read and looked through."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.models import Task
from app.policies import Actor, visible_tasks
from app.services.search.scoring import Scorer
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
    scorer = Scorer(terms)
    found: dict[int, int] = {}
    for task_id, title, description in rows:
        in_title = words_of(title)
        worths = [scorer.worths(word) for word in {*in_title, *words_of(description)}]
        if all(any(of_term) for of_term in zip(*worths, strict=True)) and worths:
            found[task_id] = scorer.score(in_title)
    return found
