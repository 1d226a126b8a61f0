"""Going on in namespaces of one's own, which the kernel takes away with all that is in them."""

import ctypes
import os
import signal
import subprocess
import sys

_NEW_MOUNTS, _NEW_PROCESSES, _NEW_NETWORK = 0x0002_0000, 0x2000_0000, 0x4000_0000
_PR_SET_PDEATHSIG = 1
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_OUR_OWN = (
    ("mount", "--make-rprivate", "/"),
    ("mount", "-t", "proc", "proc", "/proc"),
    ("mount", "-t", "tmpfs", "tmpfs", "/run"),  # where `ip netns` keeps its names
    ("ip", "link", "set", "lo", "up"),
)


class NotPermitted(Exception):
    """This machine, or this user, cannot have namespaces; the message says why."""


def go_apart() -> None:
    """Return in a process that has network, mounts and process numbers of its own.

    It is the first of its process numbers: when it ends, by whatever signal, the kernel kills all
    that it started, and their networks vanish. The caller's own process never returns: it hands
    on signals, waits, and ends with the same exit code. Raises NotPermitted.
    """
    if sys.platform != "linux":
        raise NotPermitted("Network namespaces are Linux's.")
    if os.geteuid() != 0:
        raise NotPermitted("Only root may make network namespaces: run it as root.")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_MOUNTS | _NEW_PROCESSES | _NEW_NETWORK) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise NotPermitted(f"Namespaces cannot be made here: {reason}.")
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        sys.exit(_wait_for(child))
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setpgid(0, 0)  # Ctrl-C comes from the one that waits, and once
    for command in _OUR_OWN:
        run(*command)


def run(*command: str) -> str:
    """What a command of the system prints. Raises NotPermitted with its words where it fails."""
    try:
        ended = subprocess.run(  # noqa: S603 - the commands are ours
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise NotPermitted(f"{command[0]} is not installed.") from None
    if ended.returncode != 0:
        raise NotPermitted(f"`{' '.join(command)}` failed: {ended.stderr.strip()}")
    return ended.stdout


def _wait_for(child: int) -> int:
    for number in _SIGNALS:
        signal.signal(number, lambda number, _frame: os.kill(child, number))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
