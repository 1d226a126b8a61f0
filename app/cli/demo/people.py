"""Who is in the demo shop, and where their passwords are kept."""

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.cli.demo.catalogue import NJERI, OTIENO
from app.policies import Role

ACCOUNTS_FILE = Path("instance") / "demo-accounts.txt"
_HEADING = (
    "# The demo shop's accounts: role, username, password. Delete this file when you know them."
)
_PASSWORD_BYTES = 9
DEMO_DOMAIN = "sokoni.example"
"""Where the demo accounts' e-mail addresses are, and nobody else's."""


@dataclass(frozen=True, slots=True)
class Account:
    role: str
    username: str
    password: str = field(repr=False)


PEOPLE = (
    (Role.ADMIN, "amina", "254712000101"),
    (Role.SELLER, NJERI, "254712000102"),
    (Role.SELLER, OTIENO, "254712000103"),
    (Role.CUSTOMER, "wanjiku", "254712345678"),
)
"""With phones that the simulator lets pay."""


def new_accounts() -> list[Account]:
    """With passwords that nobody else has."""
    return [
        Account(role.value, username, secrets.token_urlsafe(_PASSWORD_BYTES))
        for role, username, _phone in PEOPLE
    ]


def keep_accounts(accounts: Sequence[Account]) -> None:
    """Write them down for the owner of this machine alone."""
    ACCOUNTS_FILE.parent.mkdir(parents=True, exist_ok=True)
    ACCOUNTS_FILE.unlink(missing_ok=True)
    descriptor = os.open(ACCOUNTS_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(_HEADING + "\n")
        for account in accounts:
            file.write(f"{account.role}  {account.username}  {account.password}\n")


def kept_accounts() -> list[Account]:
    """What was written down, or nothing if the file is gone."""
    if not ACCOUNTS_FILE.exists():
        return []
    lines = ACCOUNTS_FILE.read_text("utf-8").splitlines()
    parts = [line.split() for line in lines if line and not line.startswith("#")]
    return [Account(*part) for part in parts if len(part) == len(Account.__slots__)]
