"""Sokoni: a commerce backend for people who sell in Kenya and are paid by M-Pesa.

Importing this package loads nothing else, so that services run in a shell without Flask.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from app.config import Config
    from app.ports import Ports


def create_app(config: "Config | None" = None, ports: "Ports | None" = None) -> "Flask":
    """Put the shop together. Without ``config`` the environment is read; without ``ports`` the
    real clock, Safaricom and queue are used. Raises ConfigError.
    """
    from app.composition import compose
    from app.config import Config

    return compose(config or Config.load(), ports)
