"""Named places where a test kills the process, to see that nothing is lost there.

Only the environment variable SOKONI_FAILPOINT arms one, and never in production: Config refuses it.
"""

import os
import signal

VARIABLE = "SOKONI_FAILPOINT"
_armed = os.environ.get(VARIABLE, "")


def failpoint(name: str) -> None:
    """Die by SIGKILL here, as a machine without power would, if this point is armed."""
    if _armed and _armed == name:
        os.kill(os.getpid(), signal.SIGKILL)
