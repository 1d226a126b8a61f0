"""Settings: made once, checked whenever wanted."""

import os
import secrets
from pathlib import Path

import click

from app.cli.config_table import EXAMPLE, README, settings_table, with_table
from app.cli.context import ENV_FILE, load_config

SECRETS = ("SECRET_KEY", "JWT_SECRET_KEY")
_SECRET_BYTES = 48


@click.group
def command() -> None:
    """Make .env, or check the settings."""


@command.command
def init() -> None:
    """Write .env with fresh secrets, unless there is one already."""
    if write_env(ENV_FILE):
        click.echo(f"Wrote {ENV_FILE} with fresh secrets. Nobody but you can read it.")
    else:
        click.echo(f"There is a {ENV_FILE} already; it was left as it is.")


@command.command
def check() -> None:
    """Check every setting, and say what they amount to. Shows no secret."""
    config = load_config()
    database = "SQLite" if config.uses_sqlite else "PostgreSQL"
    click.echo(
        f"The settings are sound: M-Pesa {config.mpesa_env}, shortcode"
        f" {config.mpesa_shortcode}, {config.public_url}, {database}."
    )


@command.command
@click.option("--write", is_flag=True, help="Put it into README.md instead of printing it.")
def table(*, write: bool) -> None:
    """Print every setting of .env.example as the table that stands in the README."""
    if write:
        README.write_text(with_table(README.read_text("utf-8")), "utf-8")
    else:
        click.echo(settings_table())


def write_env(path: Path) -> bool:
    """A new .env from .env.example, for its owner alone; False if there is one already."""
    lines = []
    for line in EXAMPLE.read_text("utf-8").splitlines():
        name = line.partition("=")[0]
        lines.append(f"{name}={secrets.token_urlsafe(_SECRET_BYTES)}" if name in SECRETS else line)
    try:
        # O_EXCL: of two that start together one writes, and no file or link is ever written over
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    return True
