"""Which tests go to one worker together, because they share what is costly.

xdist has groups of its own, by a mark. With pytest 9.2 they are silently ignored
(pytest-dev/pytest-xdist#1386), and each worker told every story anew. So this is its other way,
a scheduler of one's own.
"""

import re
from pathlib import PurePosixPath

from xdist.scheduler import LoadScopeScheduling

OWN_SHOPS = {"test_crashes", "test_first_payment", "test_processes", "test_restarts"}
"""The files of tests/e2e that need no story."""


def group_of(nodeid: str) -> str:
    """A file goes to one worker; so do all windows of the browser, and of the tests with real
    processes those of one database that share a shop or a drill.
    """
    file, _, test = nodeid.partition("::")
    path = PurePosixPath(file)
    folder = path.parent.name
    if folder == "browser":
        return folder
    if path.stem == "test_short_drill":
        kind = re.search(r"\[(sqlite|postgresql)\b", test)
        return f"drill-{kind[1]}" if kind else path.stem
    if folder == "e2e":
        kind = re.search(r"\[(sqlite|postgresql)\b", test)
        shop = path.stem if path.stem in OWN_SHOPS else "story"
        return f"{shop}-{kind[1]}" if kind else shop
    return file


class Sharing(LoadScopeScheduling):
    """Hands whole groups to the workers, in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
