import pytest


@pytest.fixture
def database_kind():
    """Services are proven on both databases where they are; their pages need one."""
    return "sqlite"
