"""How the shop does, and what waits for a hand."""

from collections.abc import Sequence

from werkzeug.wrappers import Response as AnyResponse

from app.context import now
from app.db import reading
from app.policies import Role
from app.security import current_actor
from app.services.figures import (
    OutcomeDay,
    SalesDay,
    compare_periods,
    read_outcomes,
    read_sales,
    read_waiting,
)
from app.utils.money import CENTS_PER_SHILLING
from app.web.language import gettext, mark
from app.web.office.blueprint import office
from app.web.office.exceptions import age_of
from app.web.office.plots import Plot, Series, draw, short_day
from app.web.pages import page
from app.web.visitors import role_page

PERIODS = (1, 7, 30)
OUTCOMES = (
    ("succeeded", mark("Paid")),
    ("cancelled", mark("Cancelled")),
    ("failed", mark("Failed")),
    ("unknown", mark("No answer")),
)


@office.get("/office")
@role_page(Role.SELLER, Role.ADMIN)
def today() -> AnyResponse:
    """Today's figures; a seller's are those of their own lines, and of no payments."""
    actor = current_actor()
    with reading() as session:
        sales = read_sales(session, actor, now())
        waiting = read_waiting(session, actor)
        outcomes = read_outcomes(session, actor, now()) if actor.is_admin else []
    month = sales[-PERIODS[-1] :]
    return page(
        "office/today.html",
        periods=compare_periods(sales, PERIODS),
        waiting=waiting,
        sales=month,
        sales_plot=_plot_sales(month),
        outcomes=outcomes,
        outcomes_plot=_plot_outcomes(outcomes) if outcomes else None,
        short_day=short_day,
        age_of=age_of,
    )


def _plot_sales(days: Sequence[SalesDay]) -> Plot:
    shillings = [-(-day.cents // CENTS_PER_SHILLING) for day in days]
    return draw([day.day for day in days], [Series("sales", "KSh", shillings)])


def _plot_outcomes(days: Sequence[OutcomeDay]) -> Plot:
    series = [
        Series(kind, gettext(name), [getattr(day, kind) for day in days]) for kind, name in OUTCOMES
    ]
    return draw([day.day for day in days], series)
