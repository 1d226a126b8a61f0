"""Whether the web server was told to stop: one byte that its processes share.

Nothing is shared unless this module is loaded before they are forked.
"""

import mmap

_flag = mmap.mmap(-1, 1)


def begin_draining() -> None:
    """From here on, every process says that it is not ready, and keeps no connection open."""
    _flag[0] = 1


def is_draining() -> bool:
    return _flag[0] == 1


def end_draining() -> None:
    """For a process that outlives its server, such as a test's."""
    _flag[0] = 0
