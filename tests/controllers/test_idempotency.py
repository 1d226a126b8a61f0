"""The same key does a thing once; the first answer comes again, byte for byte."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from app.errors import BadGateway
from app.models import IdempotencyKey
from tests.controllers.probe import add_probe, categories_of
from tests.controllers.sign_in import new_caller, sign_in


@pytest.fixture
def app(make_app):
    app = make_app(add_probe)
    app.extensions["probe_calls"] = []
    return app


@pytest.fixture
def caller(app, database):
    _, headers = new_caller(app, database, "customer")
    return headers


def send(client, caller, path="/api/probe/once", key="key-1", **options):
    return client.post(path, headers={**caller, "Idempotency-Key": key}, **options)


def keys_of(database):
    with database.reading() as session:
        return session.query(IdempotencyKey).count()


def test_the_same_key_gives_the_same_answer_and_one_effect(client, caller, database):
    first = send(client, caller, json={"a": 1, "b": [1.5]})
    again = send(client, caller, json={"b": [1.5], "a": 1})
    assert first.status_code == again.status_code == 201
    assert first.data == again.data
    assert (
        first.headers["Location"] == again.headers["Location"] == f"/api/probe/{first.json['id']}"
    )
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert categories_of(database) == ["Once"]


def test_without_a_key_each_request_counts(client, caller, database):
    for _ in range(2):
        assert client.post("/api/probe/once", headers=caller).status_code == 201
    assert categories_of(database) == ["Once", "Once"]
    assert keys_of(database) == 0


def test_another_body_under_a_used_key_is_refused(client, caller, database):
    send(client, caller, json={"a": 1})
    response = send(client, caller, json={"a": 2})
    assert response.status_code == 422
    assert response.json["code"] == "idempotency_key_reused"
    assert categories_of(database) == ["Once"]


def test_another_path_argument_under_a_used_key_is_refused(client, caller, database):
    send(client, caller, "/api/probe/once/1")
    response = send(client, caller, "/api/probe/once/2")
    assert response.status_code == 422
    assert categories_of(database) == ["Number 1"]


def test_another_route_and_another_user_have_keys_of_their_own(app, client, caller, database):
    _, other = new_caller(app, database, "customer")
    send(client, caller)
    assert send(client, caller, "/api/probe/once/1").status_code == 201
    response = send(client, other)
    assert response.status_code == 201
    assert "Idempotent-Replayed" not in response.headers
    assert categories_of(database) == ["Once", "Number 1", "Once"]


def test_a_route_has_one_set_of_keys_under_both_its_addresses(client, caller, database):
    first = send(client, caller, "/orders/probe")
    again = send(client, caller, "/api/orders/probe")
    assert first.data == again.data
    assert again.headers["Idempotent-Replayed"] == "true"
    assert categories_of(database) == ["Aliased"]


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "ключ", "a\x7f"])
def test_a_malformed_key_is_a_400(client, caller, database, key):
    response = send(client, caller, key=key.encode("utf-8").decode("latin-1"))
    assert response.status_code == 400
    assert [error["field"] for error in response.json["errors"]] == ["Idempotency-Key"]
    assert categories_of(database) == []


def test_a_key_of_255_characters_is_taken(client, caller):
    assert send(client, caller, key="k" * 255).status_code == 201


def test_a_key_may_be_used_anew_after_a_day(app, client, database, clock):
    user, headers = new_caller(app, database, "customer")
    first = send(client, headers, json={"a": 1})
    clock.advance(hours=23, minutes=59)
    assert send(client, sign_in(app, user), json={"a": 1}).data == first.data
    clock.advance(minutes=1)
    response = send(client, sign_in(app, user), json={"a": 2})
    assert response.status_code == 201
    assert "Idempotent-Replayed" not in response.headers
    assert categories_of(database) == ["Once", "Once"]
    assert keys_of(database) == 1


def test_a_refusal_leaves_nothing_not_even_the_key(client, caller, database):
    for _ in range(2):
        response = send(client, caller, "/api/probe/refused")
        assert response.status_code == 409
        assert response.json["code"] == "not_now"
    assert categories_of(database) == []
    assert keys_of(database) == 0


def test_nobody_has_no_keys(client, database):
    assert send(client, {}).status_code == 401
    assert keys_of(database) == 0


def race(app, caller, path, times):
    """So many requests with one key at the same moment."""
    barrier = Barrier(times)

    def one(_):
        client = app.test_client()
        barrier.wait()
        return send(client, caller, path, json={"a": 1})

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(one, range(times)))


def test_twenty_at_once_do_it_once_and_all_get_that_answer(app, caller, database):
    answers = race(app, caller, "/api/probe/once", 20)
    done = [answer for answer in answers if answer.status_code == 201]
    waiting = [answer for answer in answers if answer.status_code == 409]
    assert len(done) + len(waiting) == 20
    assert len({answer.data for answer in done}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in done) == 1
    assert all(answer.json["code"] == "idempotency_in_progress" for answer in waiting)
    assert categories_of(database) == ["Once"]


def test_twenty_at_once_with_work_in_the_middle_begin_it_once(app, caller, database):
    answers = race(app, caller, "/api/probe/phases", 20)
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert 202 in {answer.status_code for answer in answers}
    assert len({answer.data for answer in answers if answer.status_code == 202}) == 1
    assert len(app.extensions["probe_calls"]) == 1
    assert categories_of(database) == ["Phases"]


def test_work_in_the_middle_is_answered_again_without_being_done_again(app, client, caller):
    first = send(client, caller, "/api/probe/phases")
    again = send(client, caller, "/api/probe/phases")
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.data == again.data
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(app.extensions["probe_calls"]) == 1


class Death(BaseException):
    """The process is gone: nothing after this line runs."""


def leave_unfinished(app, client, caller, database, monkeypatch):
    """A first request that died while the network was asked."""
    from app.controllers import idempotency

    app.extensions["probe_fault"] = Death()
    monkeypatch.setattr(idempotency, "release", lambda *_: None)
    with pytest.raises(Death):
        send(client, caller, "/api/probe/phases")
    monkeypatch.undo()
    app.extensions["probe_fault"] = None


def test_while_the_first_request_runs_the_second_is_told_to_wait(
    app, client, caller, database, monkeypatch, clock
):
    leave_unfinished(app, client, caller, database, monkeypatch)
    clock.advance(seconds=59)
    response = send(client, caller, "/api/probe/phases")
    assert response.status_code == 409
    assert response.json["code"] == "idempotency_in_progress"
    assert response.headers["Retry-After"] == "2"
    assert categories_of(database) == ["Phases"]


def test_after_the_lease_the_answer_is_made_of_what_was_begun(
    app, client, caller, database, monkeypatch, clock
):
    leave_unfinished(app, client, caller, database, monkeypatch)
    clock.advance(seconds=60)
    response = send(client, caller, "/api/probe/phases")
    assert response.status_code == 202
    assert response.json == {"id": app.extensions["probe_calls"][0]}
    assert len(app.extensions["probe_calls"]) == 1
    assert categories_of(database) == ["Phases"]
    again = send(client, caller, "/api/probe/phases")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.data == response.data


def test_when_the_work_is_refused_the_key_is_free_again(app, client, caller, database):
    app.extensions["probe_fault"] = BadGateway("No.")
    assert send(client, caller, "/api/probe/phases").status_code == 502
    assert keys_of(database) == 0
    app.extensions["probe_fault"] = None
    response = send(client, caller, "/api/probe/phases")
    assert response.status_code == 202
    assert "Idempotent-Replayed" not in response.headers
    assert len(app.extensions["probe_calls"]) == 2


def test_whoever_comes_back_late_gives_the_answer_that_was_given(
    app, client, caller, database, clock
):
    """The first request outlives its lease; a second one answers; then the first one ends."""
    answers = []

    class SlowCalls(list):
        def append(self, row_id):
            super().append(row_id)
            clock.advance(seconds=60)
            answers.append(send(app.test_client(), caller, "/api/probe/phases"))

    app.extensions["probe_calls"].clear()
    calls = SlowCalls()
    app.extensions["probe_calls"] = calls
    late = send(client, caller, "/api/probe/phases")
    assert answers[0].status_code == late.status_code == 202
    assert "Idempotent-Replayed" not in answers[0].headers
    assert late.headers["Idempotent-Replayed"] == "true"
    assert late.data == answers[0].data
    assert categories_of(database) == ["Phases"]
