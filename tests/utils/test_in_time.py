"""An answer in time, whatever it waits for."""

from contextvars import ContextVar
from threading import Event, get_ident

import pytest

from app.utils.in_time import InTime

LONG = 60
ANSWER = ContextVar("answer", default="nobody set it")


def test_an_answer_that_comes_in_time_is_given():
    assert InTime(seconds=LONG, threads=1).ask(lambda: "yes", otherwise="no") == "yes"


def test_the_question_is_asked_in_another_thread_with_what_this_one_knows():
    ANSWER.set("set here")
    in_time = InTime(seconds=LONG, threads=1)
    thread, found = in_time.ask(lambda: (get_ident(), ANSWER.get()), otherwise=(0, ""))
    assert thread != get_ident()
    assert found == "set here"


def test_what_the_question_raises_is_raised():
    def burst() -> str:
        raise KeyError("no")

    with pytest.raises(KeyError):
        InTime(seconds=LONG, threads=1).ask(burst, otherwise="no")


def test_nobody_waits_for_an_answer_that_does_not_come():
    """The question ends only after its asker has gone on."""
    gone_on, ended = Event(), Event()
    in_time = InTime(seconds=0.01, threads=1)

    def wait() -> str:
        gone_on.wait(LONG)
        ended.set()
        return "too late"

    assert in_time.ask(wait, otherwise="in time") == "in time"
    gone_on.set()
    assert ended.wait(LONG)


def test_while_all_threads_are_taken_nothing_is_asked_and_later_it_is_again():
    release, asked = Event(), Event()
    in_time = InTime(seconds=0.01, threads=1)
    assert in_time.ask(lambda: release.wait(LONG), otherwise="busy") == "busy"

    assert in_time.ask(asked.set, otherwise="turned away") == "turned away"
    assert not asked.is_set()
    release.set()
    patient = InTime(seconds=LONG, threads=1)
    assert patient.ask(lambda: "free", otherwise="busy") == "free"
    while in_time.ask(lambda: "free", otherwise="busy") == "busy":
        pass
