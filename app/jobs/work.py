"""What every job is given: the database, the world outside, the settings."""

from dataclasses import dataclass
from datetime import datetime

from app.config import Config
from app.db import Database
from app.ports import Ports


@dataclass(frozen=True, slots=True)
class Work:
    """Handed to jobs by the web process, the worker and the command line alike."""

    database: Database
    ports: Ports
    config: Config

    def now(self) -> datetime:
        return self.ports.clock()
