"""The whole shop with one command: settings, database, goods, web server, worker, simulator."""

import errno
import http.client
import os
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

import click

from app.cli import Failure
from app.cli.banner import banner
from app.cli.children import Child, Family, GaveUp, Stopped, environment_with, python
from app.cli.config import write_env
from app.cli.context import ENV_FILE, HOME, load_config
from app.config import PUBLIC_SANDBOX_PASSKEY, Config, MpesaEnv

READY_SECONDS = 90
_MANAGE = str(HOME / "manage.py")


@click.command
def command() -> None:
    """Start everything on this machine and keep it running until Ctrl-C.

    Makes .env, the database and a demo shop where there are none.
    """
    if write_env(ENV_FILE):
        click.echo(f"Wrote {Path.cwd() / ENV_FILE} with fresh secrets.")
    if sys.stdout.isatty():
        os.environ.setdefault("LOG_FORMAT", "console")
    config = load_config()
    _refuse_busy_ports(config)
    try:
        with Family(lambda line: click.echo(line, err=True)) as family:
            _start(family, config)
            click.echo(banner(config, simulator=_simulator_url(config)))
            sys.stdout.flush()
            family.watch()
    except Stopped:
        click.echo("Stopped.")
    except GaveUp as error:
        raise Failure(f"{error} Everything was stopped.") from error


def _start(family: Family, config: Config) -> None:
    environment = environment_with(HOME)
    simulator = _simulator_url(config)
    if simulator is not None:
        family.start(_simulator(config, simulator, environment))
    # It loads while the database is prepared, and is not ready before that is done.
    family.start(Child("web server", python(_MANAGE, "web"), environment))
    _prepare_database(config)
    family.raise_if_stopping()
    family.start(Child("worker", python(_MANAGE, "worker"), environment))
    family.wait_until(lambda: _is_ready(config), READY_SECONDS, "web server")
    if simulator is not None:
        family.wait_until(lambda: _answers(simulator), READY_SECONDS, "simulator")
        _register_at_simulator(config)


def _prepare_database(config: Config) -> None:
    from app import schema_migrations
    from app.cli.demo.beginning import is_empty
    from app.jobs.build import build_database

    database = build_database(config)
    try:
        schema_migrations.upgrade(database)
        if is_empty(database) and not config.is_production:
            _seed(config)
    finally:
        database.dispose()


def _seed(config: Config) -> None:
    from app.cli.seed import seed_demo
    from app.jobs.build import build_work

    work = build_work(config)
    try:
        seed_demo(work)
    finally:
        work.database.dispose()


def _register_at_simulator(config: Config) -> None:
    """So that a payment from the simulated menu is reported to the shop, and listed for it."""
    from app.jobs.build import build_work
    from app.jobs.pull_statements import register_for_list
    from app.jobs.register_c2b import register_c2b
    from app.ports import GatewayError

    work = build_work(config)
    try:
        register_c2b(work, cancel_when_unreachable=False)
        if config.can_pull and config.mpesa_pull_number is not None:
            register_for_list(work, config.mpesa_pull_number)
    except GatewayError as error:
        click.echo(f"Payments from the menu are not reported: {error.message}", err=True)
    finally:
        work.database.dispose()


def _simulator_url(config: Config) -> str | None:
    """Where our own simulator is to run; None where payments go to another one, or are real."""
    is_ours = urlsplit(config.mpesa_base_url).hostname in {"127.0.0.1", "localhost"}
    return config.mpesa_base_url if config.mpesa_env is MpesaEnv.SIMULATOR and is_ours else None


def _simulator(config: Config, url: str, environment: dict[str, str]) -> Child:
    arguments = ["-m", "daraja_simulator", "--port", str(_port_of(url))]
    if config.mpesa_passkey != PUBLIC_SANDBOX_PASSKEY or config.mpesa_till:
        merchant = f"{config.mpesa_shortcode}:{config.mpesa_passkey}"
        till = f":till={config.mpesa_till}" if config.mpesa_till else ""
        arguments += ["--merchant", merchant + till]
    if config.mpesa_b2c_shortcode:
        arguments += ["--merchant", f"{config.mpesa_b2c_shortcode}:{config.mpesa_passkey}"]
    return Child("simulator", python(*arguments), environment, is_quiet=True)


def _port_of(url: str) -> int:
    return urlsplit(url).port or 80


def _refuse_busy_ports(config: Config) -> None:
    simulator = _simulator_url(config)
    wanted = [(config.host, config.port, "PORT", 1)]
    if simulator is not None:
        wanted.append(("127.0.0.1", _port_of(simulator), "SIMULATOR_PORT", 1))
    sentences = []
    for host, port, variable, step in wanted:
        reason = _why_not(host, port)
        if reason is not None:
            other = port + 100 * step
            sentences.append(
                f"Port {port} on {host} {reason}. Choose another: {variable}={other} make run"
            )
    if sentences:
        raise Failure("\n".join(sentences))


def _why_not(host: str, port: int) -> str | None:
    """Why we cannot listen there, or None."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OverflowError:
            return "does not exist"
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "is in use"
            return f"cannot be had ({error.strerror})"
    return None


def _is_ready(config: Config) -> bool:
    host = "127.0.0.1" if config.host in {"0.0.0.0", "::"} else config.host  # noqa: S104 - asked, not bound
    return _get(host, config.port, "/readyz", urlsplit(config.public_url).netloc) == 200  # noqa: PLR2004


def _answers(url: str) -> bool:
    return _get("127.0.0.1", _port_of(url), "/", "127.0.0.1") is not None


def _get(host: str, port: int, path: str, named: str) -> int | None:
    """The status of the answer; None if there is none yet."""
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", path, headers={"Host": named})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
