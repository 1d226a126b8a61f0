"""A virtual environment for each of the others, made once and kept beside the code."""

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

import click

from drill.processes import ROOT

_KEPT = ROOT / ".cache" / "peers"
_PINS = Path(__file__).parent
_MOST_SECONDS = 900


class CannotMeasureError(click.ClickException):
    """What the bench needs is not to be had here; that says nothing of the shop."""

    exit_code = 2


def python_of(peer: str) -> Path:
    """The Python that has what ``requirements-{peer}.txt`` pins. The first time, it is fetched."""
    pins = _PINS / f"requirements-{peer}.txt"
    mark = hashlib.sha256(pins.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = _KEPT / f"{peer}-{mark}"
    python, whole = folder / "bin" / "python", folder / ".whole"
    if not whole.exists():
        click.echo(f"Installing {peer} into {folder.relative_to(ROOT)} …", err=True)
        venv.create(folder, clear=True, with_pip=True)
        _install(python, pins)
        whole.touch()
    return python


def _install(python: Path, pins: Path) -> None:
    command = [
        *(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--no-input", "--require-hashes", "-r", str(pins)),
    ]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_MOST_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise CannotMeasureError(f"{pins.name} was not installed in {_MOST_SECONDS} s.") from error
    except subprocess.CalledProcessError as error:
        told = error.stderr.strip()[-2000:]
        raise CannotMeasureError(f"{pins.name} cannot be installed here:\n{told}") from error
