import os
from types import SimpleNamespace

from sqlalchemy import text

from app import schema_migrations
from app.db import EXTENSION, Database


def test_alive_asks_no_database(app, client):
    app.extensions[EXTENSION] = None
    response = client.get("/healthz")
    assert (response.status_code, response.json) == (200, {"status": "ok"})


def test_ready_when_the_database_answers_and_is_migrated(client):
    response = client.get("/readyz")
    assert (response.status_code, response.json) == (200, {"status": "ready"})


def assert_not_ready(response, what):
    assert response.status_code == 503
    assert response.json["code"] == "not_ready"
    assert response.json["not_ready"] == what
    assert response.json["detail"] == f"Not ready: {what}."
    assert response.headers["Retry-After"] == "5"


def test_not_ready_without_a_database(app, client):
    gone = Database("postgresql+psycopg://nobody:secretword@127.0.0.1:1/none")
    app.extensions[EXTENSION] = gone
    response = client.get("/readyz")
    gone.dispose()
    assert_not_ready(response, "database")
    assert "secretword" not in response.text


def test_not_ready_before_the_migrations(client, database):
    head = schema_migrations.head_revision()
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    response = client.get("/readyz")
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :head"), {"head": head})
    assert_not_ready(response, "migrations")


def test_a_crowd_that_asks_makes_us_look_once(client, files):
    """Anybody may ask, and nobody who asks is sent away."""
    assert client.get("/readyz").status_code == 200
    files.is_down = True
    assert {client.get("/readyz").status_code for _ in range(5)} == {200}


def test_not_ready_when_the_file_cannot_be_written(client, database, monkeypatch):
    nothing = SimpleNamespace(access=lambda *_: False, W_OK=os.W_OK)
    monkeypatch.setattr("app.db.os", nothing)
    response = client.get("/readyz")
    if database.is_sqlite:
        assert_not_ready(response, "storage")
    else:
        assert response.status_code == 200


def test_not_ready_when_pictures_cannot_be_stored(client, files):
    files.is_down = True
    assert_not_ready(client.get("/readyz"), "storage")
