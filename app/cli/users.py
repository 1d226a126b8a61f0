"""Accounts, for whoever has the machine."""

import sys

import click

from app.cli import BadInput
from app.cli.context import opened_database, opened_work
from app.jobs.accounts import create_user
from app.models import User
from app.policies import Role
from app.services.pages import MAX_LIMIT, PageRequest
from app.services.users import NewUser, UserFilter, list_users, promote_user
from app.utils.clock import utc_now
from app.utils.identity import clean_email, clean_username
from app.utils.phone import normalise_msisdn

ROLES = click.Choice([role.value for role in Role])


@click.group
def command() -> None:
    """Make accounts, give them roles, list them."""


@command.command
@click.argument("username")
@click.argument("email")
@click.option("--role", type=ROLES, default=Role.CUSTOMER.value, show_default=True)
@click.option("--phone", help="A Kenyan mobile number, like 0712345678.")
@click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input, not a prompt."
)
def create(
    username: str, email: str, role: str, phone: str | None, *, password_stdin: bool
) -> None:
    """Make an account. The password is asked for, or read from standard input."""
    password = _read_password(from_stdin=password_stdin)
    new = _new_user(username, email, phone, password)
    with opened_work() as work:
        user = create_user(work, new, Role(role))
    click.echo(f"Made the {user.role} {user.username} (id {user.id}).")


@command.command
@click.argument("name")
@click.argument("role", type=ROLES)
def promote(name: str, role: str) -> None:
    """Give the user NAME (a username or an e-mail address) the role ROLE."""
    with opened_database() as database, database.transaction() as session:
        user = promote_user(session, name, Role(role), utc_now())
    click.echo(f"{user.username} (id {user.id}) is {user.role} from the next request on.")


@command.command("list")
@click.option("--role", type=ROLES, help="Only users of this role.")
@click.option("--search", help="Part of a name or an address, or a whole phone number.")
def list_them(role: str | None, search: str | None) -> None:
    """List accounts, the newest first."""
    wanted = UserFilter(search=search, role=Role(role) if role else None)
    cursor = None
    with opened_database() as database, database.reading() as session:
        while True:
            page = list_users(session, wanted, PageRequest(limit=MAX_LIMIT, cursor=cursor))
            for user in page.rows:
                click.echo(_line(user))
            cursor = page.next_cursor
            if cursor is None:
                return


def _line(user: User) -> str:
    state = "  suspended" if user.suspended_at else ""
    phone = user.phone_number or "-"
    return f"{user.id:>6}  {user.role:<8}  {user.username:<30}  {phone:<12}  {user.email}{state}"


def _read_password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt="Once more")
    return password


def _new_user(username: str, email: str, phone: str | None, password: str) -> NewUser:
    try:
        return NewUser(
            username=clean_username(username),
            email=clean_email(email),
            phone_number=normalise_msisdn(phone) if phone else None,
            password=password,
        )
    except ValueError as error:
        raise BadInput(str(error)) from error
