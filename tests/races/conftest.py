import pytest


@pytest.fixture(params=["postgresql"])
def database_kind(request) -> str:
    """Races are run where rows are locked; a file of its own tells what SQLite does."""
    return request.param
