import pytest

from app.utils import passwords


@pytest.fixture
def hashes_made(monkeypatch) -> list[str]:
    """Each slow hash that was computed from now on, by its kind, in order."""
    made = []

    def counting(kind, function):
        def counted(*args, **kwargs):
            made.append(kind)
            return function(*args, **kwargs)

        return counted

    passwords._dummy_hash("scrypt:128:8:1")  # made once a process; not what a test is about
    for kind, name in (("make", "generate_password_hash"), ("check", "check_password_hash")):
        monkeypatch.setattr(passwords, name, counting(kind, getattr(passwords, name)))
    return made
