"""Whether an address that somebody names may be called: its name is resolved before anything else
is done, outside of any transaction.
"""

from app.jobs.work import Work
from app.services.webhooks.endpoints import refused_address


def require_callable(work: Work, url: str) -> None:
    """Raises InvalidInput for an address that is never called, and for a name that has none.

    What a name leads to later is held to the same at each delivery.
    """
    try:
        work.ports.webhooks.check(url)
    except ValueError as refusal:
        raise refused_address(str(refusal)) from None
