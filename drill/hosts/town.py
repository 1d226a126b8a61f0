"""The stage as a small town: each part of the shop on a machine of its own, two of some."""

import os
import pwd
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import redis

from app import schema_migrations
from app.cli.children import python
from app.db import Database
from drill.environment import MANAGE
from drill.hosts.apart import NotPermitted
from drill.hosts.front import PORT as FRONT_PORT
from drill.hosts.front import find_nginx, write_front
from drill.hosts.network import OUR_ADDRESS, Host, build_network
from drill.office import Office
from drill.options import Options
from drill.postgres import Postgres
from drill.processes import Program, wait_until
from drill.safaricom import Safaricom
from drill.stage import SIMULATOR_ENVIRONMENT, Stage, find_url, serves, works
from drill.supervisor import Post

WEB_PORT, REDIS_PORT, _SIMULATOR_PORT = 5000, 6379, 5001
TRIES = 5
"""Wrong passwords for one account, from one address, in an hour."""

_QUEUE_SECONDS = "2"
"""Whoever waits longer at a host asks the other."""

_NO_LIMIT = "1000000 per minute"
_LIMITS = {
    "RATE_LIMITS_ENABLED": "true",
    "LOGIN_FAILURE_LIMIT": f"{TRIES} per hour",
    "LOGIN_FAILURE_ACCOUNT_LIMIT": _NO_LIMIT,
    "LOGIN_FAILURE_ADDRESS_LIMIT": _NO_LIMIT,
    "REGISTER_LIMIT": _NO_LIMIT,
    "WRITE_LIMIT": _NO_LIMIT,
    "PROMPT_USER_LIMIT": _NO_LIMIT,
    "PAYMENT_CLAIM_LIMIT": _NO_LIMIT,
    "UNSIGNED_CALLBACK_LIMIT": _NO_LIMIT,
}
"""A crowd from one address meets one limit alone, and that only where it is looked for."""


class Town(Stage):
    """Two web hosts and two worker hosts; PostgreSQL, Redis, Safaricom and nginx have their own."""

    def __init__(self, options: Options, folder: Path) -> None:
        super().__init__(options, folder)
        self.web_hosts = [Host("web-a", 11), Host("web-b", 12)]
        self.work_hosts = [Host("work-a", 21), Host("work-b", 22)]
        self.database_host = Host("postgres", 31)
        self.redis_host = Host("redis", 32)
        self._safaricom_host = Host("safaricom", 41)
        self._front_host = Host("front", 51)
        self._nginx = find_nginx()
        self.posts: dict[str, Post] = {}
        """By the names of their hosts: each has one program, which may have started others."""

    @property
    def hosts(self) -> list[Host]:
        return [
            *self.web_hosts,
            *self.work_hosts,
            self.database_host,
            self.redis_host,
            self._safaricom_host,
            self._front_host,
        ]

    @property
    def has_front(self) -> bool:
        """Without nginx, Safaricom reports to the first web host alone."""
        return self._nginx is not None

    @property
    def path(self) -> str:
        """Where programs are found, also those of the system's administrator."""
        return f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin:/sbin"

    @property
    def redis_url(self) -> str:
        return f"redis://{self.redis_host.address}:{REDIS_PORT}/0"

    def stop_shop(self) -> None:
        kept = self.posts[self.database_host.name]
        self.supervisor.retire(*(post for post in self.posts.values() if post is not kept))

    def put_out(self, host: Host) -> None:
        """Cut its cable, and then its power: what it was about to say is said to nobody."""
        post = self.posts[host.name]
        host.cut()
        post.is_held = True
        post.kill()
        host.kill_all()

    def switch_on(self, host: Host) -> None:
        """Return when its program has been started, whether or not it finds a network."""
        post = self.posts[host.name]
        starts = post.starts
        post.is_held = False
        wait_until(lambda: post.starts > starts, f"{host.name} is switched on")

    @contextmanager
    def held(self, host: Host) -> Iterator[Post]:
        """Within it, what dies there stays dead."""
        post = self.posts[host.name]
        post.is_held = True
        try:
            yield post
        finally:
            post.is_held = False

    # --- starting ---

    def _open_database(self) -> None:
        build_network(self.hosts)
        host = self.database_host
        files = Postgres(self.folder, host.address, f"{OUR_ADDRESS}/24")
        self.postgres = files
        self.database_url = files.url
        command = [*_as_user(files.user), *files.command]
        post = self._settle(host, command, {"LC_ALL": "C"}, files.is_ready)
        self.postgres_post = post
        self.supervisor.wait_until_ready(post)
        self.database = Database(self.database_url)
        self._closing.callback(self.database.dispose)
        schema_migrations.upgrade(self.database)
        self._start_redis()

    def _start_redis(self) -> None:
        server = shutil.which("redis-server")
        if server is None:
            raise NotPermitted("redis-server is not installed.")
        host = self.redis_host
        self.redis = redis.Redis.from_url(self.redis_url, socket_timeout=5)
        self._closing.callback(self.redis.close)
        where = ("--bind", host.address, "--port", str(REDIS_PORT), "--protected-mode", "no")
        command = [server, *where, "--save", ""]
        self.queue_url = ""  # as for the limits: where REDIS_URL says
        self._settle(host, command, {}, lambda _: self._redis_answers())

    def _start_simulator(self) -> None:
        host = self._safaricom_host
        where = ("--host", host.address, "--port", str(_SIMULATOR_PORT))
        command = self._simulator_command(*where, "--control-from-anywhere")
        self.simulator = self._settle(
            host, command, SIMULATOR_ENVIRONMENT, lambda program: find_url(program) is not None
        )
        self.supervisor.wait_until_ready(self.simulator)
        self.safaricom = Safaricom(self._gateway_url())
        self.safaricom.set_faults(self.options.faults.of_simulator())

    def _start_shop(self) -> None:
        settings = self._settings()
        for host in self.web_hosts:
            self._settle(
                host,
                python(MANAGE, "web"),
                {**settings, "HOST": host.address},
                partial(_is_served, host),
            )
        for host in self.work_hosts:
            self._settle(host, python(MANAGE, "worker"), settings, works)
        self.web = self.posts[self.web_hosts[0].name]
        self.workers = [self.posts[host.name] for host in self.work_hosts]
        if self._nginx is not None:
            self._start_front(self._nginx)
        for post in self.posts.values():
            self.supervisor.wait_until_ready(post)
        self.office = Office(self.folder, settings)
        self.office.register()

    def _start_front(self, nginx: str) -> None:
        behind = [f"{host.address}:{WEB_PORT}" for host in self.web_hosts]
        address = self._front_host.address
        conf = write_front(self.folder, address, behind)
        command = [nginx, "-p", str(self.folder), "-c", str(conf)]
        self._settle(self._front_host, command, {}, lambda _: serves(address, FRONT_PORT))

    def _public_url(self) -> str:
        if self.has_front:
            return f"http://{self._front_host.address}"
        return f"http://{self.web_hosts[0].address}:{WEB_PORT}"

    def _gateway_url(self) -> str:
        return f"http://{self._safaricom_host.address}:{_SIMULATOR_PORT}"

    def _settings(self) -> dict[str, str]:
        return {
            **super()._settings(),
            **_LIMITS,
            "PORT": str(WEB_PORT),
            "WEB_QUEUE_SECONDS": _QUEUE_SECONDS,
            "REDIS_URL": self.redis_url,
            "TRUSTED_HOSTS": ",".join(host.address for host in self.web_hosts),
            "TRUSTED_PROXY_COUNT": "1" if self.has_front else "0",
        }

    def _settle(
        self,
        host: Host,
        command: list[str],
        environment: Mapping[str, str],
        is_ready: Callable[[Program], bool],
    ) -> Post:
        with_path = {**environment, "PATH": self.path}
        post = self._keep(host.name, host.command(command), with_path, is_ready)
        self.posts[host.name] = post
        return post

    def _redis_answers(self) -> bool:
        try:
            return bool(self.redis.ping())
        except redis.RedisError:
            return False


def _is_served(host: Host, _program: Program) -> bool:
    return not host.is_cut and serves(host.address, WEB_PORT)


def _as_user(name: str | None) -> list[str]:
    """What runs a command as another user, as the same process."""
    if name is None:
        return []
    user = pwd.getpwnam(name)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--"]
