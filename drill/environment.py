"""What the programs of a shop under test are told: settings in a hurry, secrets known to all."""

import os

from drill.processes import ROOT

MANAGE = str(ROOT / "manage.py")
CHEAP_HASH = "scrypt:128:8:1"
"""Signing up is not what is being tested."""


def shop_environment(
    *, database_url: str, queue_url: str, port: int, public_url: str, mpesa_base_url: str
) -> dict[str, str]:
    """All that a web server and a worker need, without limits that a crowd from one address meets,
    and with patience: on a busy machine nobody is sent away.

    Nothing of the caller's environment is handed on but where programs are found.
    """
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "SECRET_KEY": "test-secret-0123456789-abcdefghijklmnopqrstuvwxyz",
        "JWT_SECRET_KEY": "test-jwt-secret-9876543210-zyxwvutsrqponmlkjihgf",
        "DATABASE_URL": database_url,
        "QUEUE_URL": queue_url,
        "PORT": str(port),
        "PUBLIC_URL": public_url,
        "MPESA_BASE_URL": mpesa_base_url,
        "PASSWORD_HASH_METHOD": CHEAP_HASH,
        "RATE_LIMITS_ENABLED": "false",
        "WEB_QUEUE": "200",
        "WEB_QUEUE_SECONDS": "30",
    }
