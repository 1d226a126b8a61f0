"""Checks run side by side, wait for what they build on, and never for what is stuck."""

import re
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from app.cli.doctor.checks import CHECKS, kinds_of
from app.cli.doctor.exam import Check, Group
from app.cli.doctor.findings import Level, fault, fine, warning
from app.cli.doctor.running import Watcher, choose, examine
from app.config import MpesaEnv

BAD = fault("bad", "It is {how}.", cause="c", cure="d", elsewhere=Level.WARNING)
ODD = warning("odd", "It is odd.", cause="c", cure="d")


@pytest.fixture
def database_kind() -> str:
    return "sqlite"


@pytest.fixture
def exam(make_exam, live):
    exam = make_exam(live)
    exam.monotonic = time.monotonic
    return exam


def check(name, run=lambda _exam: [fine("Well.")], **rest) -> Check:
    return Check(name, Group.SETTINGS, f"about {name}", run, **rest)


def codes_of(reports) -> dict[str, list[str]]:
    return {report.name: [line.code for line in report.lines] for report in reports}


def test_what_a_fault_stops_names_the_check_where_it_began(exam):
    ran = []
    checks = [
        check("first", lambda _exam: [BAD.found(how="broken")]),
        check("second", lambda _exam: ran.append("second") or [], needs=("first",)),
        check("third", lambda _exam: ran.append("third") or [], needs=("second",)),
        check("beside", lambda _exam: [ODD.found()]),
        check("after", lambda _exam: [fine("All the same.")], after=("first", "third")),
        check("follower", needs=("beside",)),
    ]
    reports = examine(exam, checks)
    assert codes_of(reports) == {
        "first": ["bad"],
        "second": ["skipped"],
        "third": ["skipped"],
        "beside": ["odd"],
        "after": ["ok"],
        "follower": ["ok"],
    }
    assert [report.blocked_by for report in reports] == [None, "first", "first", None, None, None]
    assert reports[2].lines[0].sentence == "what first found has to be mended first."
    assert ran == []


def test_a_fault_in_production_may_be_a_warning_elsewhere(exam, make_exam, live):
    checks = [
        check("first", lambda _exam: [BAD.found(how="broken")]),
        check("next", needs=("first",)),
    ]
    assert examine(exam, checks)[0].lines[0].level is Level.FAULT
    elsewhere = make_exam(replace(live, mpesa_env=MpesaEnv.SANDBOX))
    elsewhere.monotonic = time.monotonic
    first, following = examine(elsewhere, checks)
    assert (first.lines[0].level, following.lines[0].code) == (Level.WARNING, "ok")


def test_checks_run_side_by_side(exam):
    """Each waits for the other: one after the other they would never end."""
    both = threading.Barrier(2, timeout=10)

    def meet(_exam):
        both.wait()
        return [fine("We met.")]

    reports = examine(exam, [check("one", meet), check("two", meet)])
    assert codes_of(reports) == {"one": ["ok"], "two": ["ok"]}


def test_a_check_that_is_stuck_is_left_to_itself(exam):
    release = threading.Event()
    started = threading.Event()

    def hang(_exam):
        started.set()
        release.wait(30)
        return [fine("Too late.")]

    checks = [
        check("stuck", hang, limit_seconds=0.05),
        check("follower", needs=("stuck",)),
        check("other"),
    ]
    reports = examine(exam, checks)
    release.set()
    assert started.is_set()
    assert codes_of(reports) == {
        "stuck": ["check_late"],
        "follower": ["skipped"],
        "other": ["ok"],
    }
    assert reports[0].lines[0].sentence.startswith("stuck did not end within 0.05 seconds")


def test_a_check_that_breaks_is_a_finding_and_shows_no_secret(exam):
    def burst(exam):
        raise KeyError(f"{exam.config.mpesa_passkey} for 254712345678")

    reports = examine(exam, [check("first", burst), check("other")])
    assert codes_of(reports) == {"first": ["check_broke"], "other": ["ok"]}
    assert (
        reports[0]
        .lines[0]
        .sentence.startswith("first itself broke (KeyError: '[hidden] for 2547****678')")
    )


def test_no_sentence_holds_a_secret_or_a_whole_phone_whoever_wrote_it(exam):
    words = f"{exam.config.mpesa_consumer_secret} of 0712 and +254712345678, 0112345678"
    (report,) = examine(exam, [check("first", lambda _exam: [BAD.found(how=words)])])
    assert report.lines[0].sentence == "It is [hidden] of 0712 and 2547****678, 2541****678."


def test_a_check_that_says_nothing_was_skipped(exam):
    (report,) = examine(exam, [check("first", lambda _exam: [])])
    assert [(line.level, line.sentence) for line in report.lines] == [
        ("skipped", "there was nothing to look at.")
    ]


def test_the_watcher_hears_each_end_and_who_is_waited_for(exam):
    ended, waiting = [], set()
    examine(
        exam,
        [check("one"), check("two", needs=("one",))],
        Watcher(lambda report: ended.append(report.name), waiting.update),
    )
    assert (ended, waiting) == (["one", "two"], {"one", "two"})


def test_one_check_brings_along_what_it_builds_on():
    assert [one.name for one in choose(CHECKS, ["gateway"])] == ["gateway"]
    assert [one.name for one in choose(CHECKS, ["token"])] == [
        "database",
        "migrations",
        "gateway",
        "token",
    ]
    assert [one.name for one in choose(CHECKS, ["clock", "worker"])] == [
        "database",
        "migrations",
        "gateway",
        "clock",
        "worker",
    ]
    assert [one.name for one in choose(CHECKS, [])] == [one.name for one in CHECKS]
    assert {"arrival", "pair", "migrations"} < {one.name for one in choose(CHECKS, ["push"])}


# --- the list of checks itself ---


def test_no_two_checks_share_a_name_and_no_two_kinds_a_code():
    names = [one.name for one in CHECKS]
    assert len(set(names)) == len(names) == 32
    kinds = {id(kind): kind.code for one in CHECKS for kind in one.kinds}
    assert sorted(kinds.values()) == sorted(set(kinds.values()))
    assert set(kinds.values()) | {"check_late", "check_broke"} == set(kinds_of())


def test_checks_wait_for_checks_that_are_there_and_never_in_a_circle():
    waits_for = {one.name: set(one.waits_for) for one in CHECKS}
    assert set().union(*waits_for.values()) <= set(waits_for)
    ended: set[str] = set()
    while len(ended) < len(waits_for):
        ready = {name for name, others in waits_for.items() if others <= ended} - ended
        assert ready, sorted(set(waits_for) - ended)
        ended |= ready


def test_checks_of_one_group_stand_together():
    groups = [one.group for one in CHECKS]
    assert sorted(groups, key=list(Group).index) == groups


@pytest.mark.parametrize("kind", kinds_of().values(), ids=lambda kind: kind.code)
def test_each_kind_is_one_sentence_with_what_to_do_and_explained(kind):
    assert re.fullmatch(r"[a-z][a-z0-9_]+", kind.code)
    if kind.code != "settings_refused":  # it is the settings' own sentence
        assert kind.says.rstrip("}").endswith((".", "meaning"))
    for text in (kind.cause, kind.cure):
        assert text.endswith((".", "`"))


def test_every_kind_is_made_by_a_test_of_its_own():
    """A mistake that no test can make is one that nobody knows to be named."""
    here = Path(__file__).parent
    files = [*here.glob("test_*_check*.py"), here / "test_command.py", Path(__file__)]
    told = "".join(file.read_text("utf-8") for file in files)
    assert [code for code in kinds_of() if f'"{code}"' not in told] == []
