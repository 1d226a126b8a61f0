"""What people at the shop do by hand, with the commands that they would use."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from app.cli.children import python
from drill.environment import MANAGE

_COMMAND_SECONDS = 300.0


class Office:
    """Runs commands in the shop's environment, each as a process that ends by itself."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = dict(environment)

    def register(self) -> None:
        """Have Safaricom tell of payments from the menu, and keep a list of all.

        Raises RuntimeError where it does not.
        """
        for command in ("register-urls", "register-pull"):
            if (words := self.run("payments", command)) is not None:
                raise RuntimeError(f"`{command}` failed: {words}")

    def fetch_list(self) -> str | None:
        """Read M-Pesa's list of payments. None, or its last words where it was not read whole."""
        return self.run("payments", "pull")

    def run(self, *words: str) -> str | None:
        """None for a command that ends well, else what it said."""
        ended = subprocess.run(  # noqa: S603 - the commands are ours
            python(MANAGE, *words),
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
        return None if ended.returncode == 0 else (ended.stdout + ended.stderr)[-1000:]
