"""Who calls in tests: accounts that exist, tokens that are good, and what a refusal looks like."""

from sqlalchemy import select

from app.models import LoginSession, User
from app.policies import Role
from tests.factories import PASSWORD, make_user

NEW_ACCOUNT = {"username": "amina", "email": "amina@example.co.ke", "password": PASSWORD}


def saved_user(database, role: Role = Role.CUSTOMER, **fields) -> User:
    """A committed user whose password is PASSWORD."""
    with database.transaction() as session:
        return make_user(session, role, **fields)


def signed_in(client, user: User, password: str = PASSWORD, **options) -> dict:
    """The tokens of a new session."""
    credentials = {"username": user.username, "password": password}
    response = client.post("/api/login", json=credentials, **options)
    assert response.status_code == 200, response.text
    return response.get_json()


def bearer(token: str | dict) -> dict[str, str]:
    """Headers that carry a token, or the access token of a pair."""
    return {"Authorization": f"Bearer {token if isinstance(token, str) else token['access_token']}"}


def caller(client, database, role: Role = Role.CUSTOMER, **fields) -> tuple[User, dict[str, str]]:
    """A committed user and the headers that they call with."""
    user = saved_user(database, role, **fields)
    return user, bearer(signed_in(client, user))


def accounts(database) -> list[tuple]:
    """Every column of every account and session: equal before and after, nothing changed."""
    with database.reading() as session:
        return [
            tuple(row)
            for model in (User, LoginSession)
            for row in session.execute(select(*model.__table__.columns).order_by(model.id))
        ]


def is_refused(response, status: int, code: str, *fields: str) -> bool:
    """Assert the whole shape of a refusal; ``fields`` are those that its errors name, in order."""
    problem = response.get_json()
    assert (response.status_code, problem["code"]) == (status, code), response.text
    assert response.mimetype == "application/problem+json"
    assert problem["status"] == status
    assert [error["field"] for error in problem["errors"]] == list(fields), problem["errors"]
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Request-Id"] == problem["request_id"]
    assert ("WWW-Authenticate" in response.headers) == (status == 401)
    return True
