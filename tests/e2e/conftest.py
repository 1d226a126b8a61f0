import pytest

from tests.conftest import DATABASES
from tests.e2e.shop import Shop, make_database
from tests.e2e.story import Story, tell_story


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure brings along what the processes printed last."""
    report = yield
    if report.failed:
        for held in getattr(item, "funcargs", {}).values():
            shop = getattr(held, "shop", held)
            if isinstance(shop, Shop):
                report.sections += [(f"log of {name}", tail) for name, tail in shop.logs()]
    return report


@pytest.fixture(scope="package", params=DATABASES)
def e2e_database_kind(request) -> str:
    return request.param


@pytest.fixture(scope="package")
def make_shop(e2e_database_kind, tmp_path_factory, request, worker_id):
    """Makes a closed shop on a new, migrated database of each kind in turn."""

    def make(name: str, **settings: str) -> Shop:
        folder = tmp_path_factory.mktemp(f"{name}-{e2e_database_kind}")
        is_sqlite = e2e_database_kind == "sqlite"
        url = make_database(
            e2e_database_kind,
            f"e2e_{name}_{worker_id}",
            folder,
            request.getfixturevalue("sqlite_template"),
            "" if is_sqlite else request.getfixturevalue("postgres_uri"),
        )
        return Shop(folder, url, **settings)

    return make


@pytest.fixture(scope="package")
def story(make_shop, e2e_database_kind, tmp_path_factory, worker_id) -> Story:
    """Every row of the simulator's table, lived through once by a shop of its own.

    It is closed when the last test of this folder is done: an open shop sweeps on, beside all
    other tests.
    """
    if worker_id != "master":  # a second telling would cost a minute, and show nowhere
        (tmp_path_factory.getbasetemp().parent / f"story-{e2e_database_kind}").touch(exist_ok=False)
    with make_shop("story").open() as shop:
        yield tell_story(shop)
