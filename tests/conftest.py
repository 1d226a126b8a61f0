import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask

from app import create_app, schema_migrations
from app.config import Config
from app.context import CATALOGUE, WORK
from app.controllers.rate_counters import build_limits
from app.db import EXTENSION, Database
from app.jobs.work import Work
from app.models import Base
from app.ports import Ports
from app.services.kept_catalogue import KeptCatalogue
from app.utils.limiter import _EXTENSION as LIMITS
from app.utils.places import INTAKE_PLACES
from tests.factories import CHEAP_HASH
from tests.fakes import (
    FakeClock,
    FakeDoorbell,
    FakeFiles,
    FakeGateway,
    FakeMerchant,
    FakeWebhooks,
    shrink_here,
)
from tests.postgres import create_database, start_postgres, stop_postgres
from tests.refunding import Sale, make_sale

DATABASES = ("sqlite", "postgresql")
_TABLES = Base.metadata.sorted_tables
_EMPTY = "; ".join(
    [  # TRUNCATE would make some hundred files anew for each test
        "SET LOCAL session_replication_role = replica",
        *[f"DELETE FROM {table.name}" for table in _TABLES],
        *[f"DELETE FROM {name}" for name in ("search_products", "search_spellings")],
        *[
            f"SELECT setval('{table.name}_id_seq', 1, false)"
            for table in _TABLES
            if "id" in table.columns and table.columns["id"].type.python_type is int
        ],
    ]
)
_NO_WORLD = {"gateway": FakeGateway(), "doorbell": FakeDoorbell()}


def pytest_collection_modifyitems(items):
    """Begin with what takes longest, so that no worker is left with it at the end."""
    items.sort(key=lambda item: not {"e2e", "browser", "drill"} & set(item.path.parts[-2:]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from tests.sharing import Sharing

    return Sharing(config, log)


def pytest_xdist_auto_num_workers():
    """One more than there are processors: the tests with real processes mostly wait for them."""
    return (os.cpu_count() or 1) + 1


def pytest_sessionfinish(session):
    if not hasattr(session.config, "workerinput"):
        stop_postgres()


@pytest.fixture(scope="session")
def postgres_uri() -> str:
    return start_postgres()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("template") / "template.db"
    database = Database(f"sqlite:///{path}")
    schema_migrations.upgrade(database)
    with database.engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
    database.dispose()
    return path


@pytest.fixture(scope="session")
def postgres_url(postgres_uri, worker_id) -> str:
    url = create_database(postgres_uri, f"sokoni_{worker_id}")
    database = Database(url)
    schema_migrations.upgrade(database)
    database.dispose()
    return url


@pytest.fixture(scope="session")
def engines(tmp_path_factory) -> Iterator[dict[str, Database]]:
    """One Database of each kind for the whole run: its statements are compiled once."""
    made: dict[str, Database] = {}
    yield made
    for database in made.values():
        database.dispose()


@pytest.fixture(params=DATABASES)
def database_kind(request) -> str:
    return request.param


@pytest.fixture
def database_url(database_kind, request, tmp_path_factory) -> str:
    """An empty, migrated database of each kind in turn; it is this test's alone."""
    if database_kind == "postgresql":
        return request.getfixturevalue("postgres_url")
    path = tmp_path_factory.getbasetemp() / "sokoni.db"
    for leftover in path.parent.glob("sokoni.db*"):
        leftover.unlink()
    shutil.copy(request.getfixturevalue("sqlite_template"), path)
    return f"sqlite:///{path}"


@pytest.fixture
def database(database_url, database_kind, engines):
    if database_kind not in engines:
        engines[database_kind] = Database(database_url, pool_size=40, reserve=INTAKE_PLACES)
    database = engines[database_kind]
    if not database.is_sqlite:
        with database.engine.begin() as connection:
            connection.exec_driver_sql(_EMPTY)
    yield database
    database.bell = None
    if database.is_sqlite:  # the next test finds another file under the same name
        database.dispose()


@pytest.fixture
def session(database):
    """A session inside one open transaction that is thrown away at the end."""
    with database._sessions() as session:
        session.connection(execution_options={"sqlite_begin": "IMMEDIATE"})
        yield session
        session.rollback()


@pytest.fixture
def sale(database) -> Sale:
    """A paid order, whose money may go back, and who may decide that."""
    with database.transaction() as session:
        return make_sale(session)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def merchant() -> FakeMerchant:
    return FakeMerchant()


@pytest.fixture
def doorbell() -> FakeDoorbell:
    return FakeDoorbell()


@pytest.fixture
def files() -> FakeFiles:
    return FakeFiles()


@pytest.fixture
def webhooks() -> FakeWebhooks:
    return FakeWebhooks()


@pytest.fixture
def config(database_url, tmp_path) -> Config:
    """Settings for tests: a cheap hash, limits off, a queue of its own."""
    config = Config.from_environment(
        {
            "SECRET_KEY": "test-secret-0123456789-abcdefghijklmnopqrstuvwxyz",
            "JWT_SECRET_KEY": "test-jwt-secret-9876543210-zyxwvutsrqponmlkjihgf",
            "DATABASE_URL": database_url,
            "QUEUE_URL": f"sqlite:///{tmp_path}/queue.db",
            "PASSWORD_HASH_METHOD": CHEAP_HASH,
            "RATE_LIMITS_ENABLED": "false",
            "PUBLIC_URL": "https://shop.example",
            "WEB_THREADS": "100",  # whoever races another is not sent away
        }
    )
    return replace(config, trusted_hosts=("localhost",))


@pytest.fixture
def ports(clock, gateway, merchant, doorbell, files, webhooks) -> Ports:
    return Ports(
        clock=clock,
        gateway=gateway,
        merchant=merchant,
        doorbell=doorbell,
        files=files,
        shrink_picture=shrink_here,
        webhooks=webhooks,
    )


@pytest.fixture(scope="session")
def composed_apps() -> dict[tuple, list]:
    """Apps by their settings and views: composing one takes longer than most tests."""
    return {}


@pytest.fixture
def make_app(config, database, ports, composed_apps):
    """Makes shops with fake ports, on an empty database of each kind in turn.

    ``views`` gives a shop more views; settings are named. The views are shared with other tests;
    what they stand on is this test's alone. Two that are made alike count and remember apart, as
    two processes do. To add a view later, ask for ``new_app``.
    """
    made = Counter()

    def make(views: Callable[[Flask], None] | None = None, **settings) -> Flask:
        own = replace(config, **settings)
        shared = replace(own, database_url="sqlite://", queue_url="")
        alike = composed_apps.setdefault((shared, views), [])
        if made[shared, views] == len(alike):
            alike.append(_compose(shared, views))
        app, extensions = alike[made[shared, views]]
        made[shared, views] += 1
        app.extensions.clear()
        app.extensions.update(extensions)
        app.extensions[WORK] = Work(database, ports, own)
        app.extensions[EXTENSION] = database
        app.extensions[CATALOGUE] = KeptCatalogue(lambda: database, own.catalogue_cache_bytes)
        app.extensions[LIMITS] = build_limits(own, lambda: database, ports.clock)
        return app

    return make


def _compose(settings: Config, views: Callable[[Flask], None] | None) -> tuple[Flask, dict]:
    def clock_of_this_test():
        return app.extensions[WORK].now()

    app = create_app(settings, Ports(clock=clock_of_this_test, **_NO_WORLD))
    if views is not None:
        views(app)
    return app, dict(app.extensions)


@pytest.fixture
def app(make_app) -> Flask:
    """The whole shop, without limits."""
    return make_app()


@pytest.fixture
def new_app(config, database, ports):
    """An app of this test's own, to which it may add views."""
    app = create_app(config, ports)
    app.extensions[EXTENSION].dispose()
    app.extensions[EXTENSION] = database
    return app


@pytest.fixture
def client(app):
    return app.test_client()
