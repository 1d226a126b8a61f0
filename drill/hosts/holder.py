"""Opens a transaction, holds an order's row, and is cut off: `python -m drill.hosts.holder`.

It says when it holds the row, waits for SIGUSR1, and then asks for the next thing, as the code of a
request would. What becomes of it on a machine that nobody hears any more it says last.
"""

import signal
import sys

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.db import Database

HOLDS = "holds the row"
LET_GO = "was told that the connection is gone"


def main(url: str, order_id: str) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    database = Database(url)
    try:
        with database.transaction() as session:
            session.execute(
                text("SELECT id FROM orders WHERE id = :id FOR UPDATE"), {"id": int(order_id)}
            )
            print(HOLDS, flush=True)  # noqa: T201 - whoever cuts the line reads it
            signal.sigwait({signal.SIGUSR1})
            session.execute(text("SELECT 1"))
    except DBAPIError as error:
        print(f"{LET_GO}: {error.orig}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
