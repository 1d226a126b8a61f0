"""The command line. Each command is loaded when it is asked for, so that all start fast.

Exit codes: 0 done, 1 refused or found broken, 2 wrong usage or settings.
"""

from importlib import import_module
from typing import Any

import click

from app.config import ConfigError
from app.errors import AppError

COMMANDS = {
    "audit": "app.cli.audit",
    "backup": "app.cli.backup",
    "config": "app.cli.config",
    "db": "app.cli.db",
    "doctor": "app.cli.doctor",
    "payments": "app.cli.payments",
    "products": "app.cli.products",
    "restore": "app.cli.restore",
    "routes": "app.cli.routes",
    "run": "app.cli.run",
    "seed": "app.cli.seed",
    "users": "app.cli.users",
    "web": "app.cli.web",
    "webhooks": "app.cli.webhooks",
    "worker": "app.cli.worker",
}
"""A command's name and the module whose ``command`` it is."""


class CommandLine(click.Group):
    """Commands by name; what they refuse is printed as one clear line."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[name]).command
        return command

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except ConfigError as error:
            raise BadInput(str(error)) from error
        except AppError as error:
            raise Failure(_describe(error)) from error
        except Exception as error:
            if sentence := _describe_database_fault(error):
                raise Failure(sentence) from error
            raise


class Failure(click.ClickException):
    """Ends the command with a sentence on standard error, and exit code 1."""

    def show(self, file: Any = None) -> None:
        click.echo(self.format_message(), file=file, err=file is None)


class BadInput(Failure):
    """What was given, or set, makes no sense: exit code 2."""

    exit_code = 2


def _describe(error: AppError) -> str:
    if len(error.errors) == 1 and error.errors[0]["message"] != error.detail:
        return f"{error.errors[0]['field']}: {error.errors[0]['message']}"
    return error.detail


def _describe_database_fault(error: Exception) -> str | None:
    """A sentence for a database that is away or not migrated; None for what is a bug."""
    from sqlalchemy.exc import OperationalError, ProgrammingError

    if not isinstance(error, OperationalError | ProgrammingError):
        return None
    reason = str(error.orig).strip().partition("\n")[0]
    if "no such table" in reason or "does not exist" in reason:
        return f"The database is not ready ({reason}). Run: python manage.py db upgrade"
    if isinstance(error, OperationalError):
        return f"The database does not answer: {reason}"
    return None


@click.group(cls=CommandLine, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Sokoni: the shop's command line.

    Settings come from the environment and from .env in the current folder.
    """
