"""Finds a Chromium for the browser tests, and installs one where there is none.

Run as a program (`python -m tests.browser.chromium`) it does both and prints where it is; with
exit code 1 it says in one line what to do instead.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SETTING = "CHROMIUM"
FLAGS = [
    "--no-sandbox",  # in a container there is no other user to fall back to
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
_MINUTES = 60


def find_chromium() -> str | None:
    """The path of a Chromium: the one that CHROMIUM names, one on the PATH, or Playwright's own."""
    named = os.environ.get(SETTING)
    if named:
        return shutil.which(named)
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return found
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


def install_chromium() -> None:
    """By Debian's package manager where we may use it, otherwise by Playwright."""
    if shutil.which("apt-get") and os.geteuid() == 0:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"]
        for command in (install, ["apt-get", "update", "-qq"], install):
            tried = subprocess.run(
                command, env=environment, capture_output=True, timeout=8 * _MINUTES, check=False
            )
            if command is install and tried.returncode == 0:
                return
    subprocess.run(
        [sys.executable, "-m", "playwright", "install", "chromium"],
        capture_output=True,
        timeout=8 * _MINUTES,
        check=False,
    )


def main() -> int:
    found = find_chromium()
    if found is None and SETTING not in os.environ:
        print("Installing Chromium for the browser tests …", file=sys.stderr)
        install_chromium()
        found = find_chromium()
    if found is None:
        print(
            "There is no Chromium, and none could be installed. Install one (Debian: apt-get"
            f" install chromium) or say where it is: {SETTING}=/path/to/chromium make test",
            file=sys.stderr,
        )
        return 1
    print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
