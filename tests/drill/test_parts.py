"""The drill's own machinery, piece by piece."""

import http.client
import threading
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random

import pytest
from click.testing import CliRunner

from app.utils.order_number import is_order_number, new_order_number, tidy_order_number
from drill.books import compare
from drill.caller import Answer, Caller, NoAnswer
from drill.cli import main
from drill.crowd import Crowd
from drill.disturbances import DISTURBANCES, plan_disturbances
from drill.environment import shop_environment
from drill.evidence import Told
from drill.examine import check_books
from drill.line import Line
from drill.menu_stories import _split, mistype, spell
from drill.office import Office
from drill.options import Faults, Options
from drill.report import Check, Money, Report
from drill.safaricom import Fates
from drill.stories import STORIES, plan_stories
from drill.values import Comparison
from drill.wrongs import Row, find_pestered_phones
from tests.drill.test_books import booked, moved

NOW = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


class TestPlans:
    def test_a_seed_plans_the_same_stories_again_and_another_seed_others(self):
        assert plan_stories(5, 200) == plan_stories(5, 200)
        assert plan_stories(5, 200) != plan_stories(6, 200)

    @pytest.mark.parametrize("payments", [1, 40, 1000])
    def test_every_story_is_told_at_least_once(self, payments):
        assert set(plan_stories(1, payments)) == set(STORIES)

    def test_so_many_payments_are_meant_as_were_asked_for(self):
        most = max(story.payments for story in STORIES)
        meant = sum(story.payments for story in plan_stories(1, 1000))
        assert 1000 <= meant < 1000 + most

    def test_a_seed_plans_the_same_disturbances_again_and_another_seed_others(self):
        one, other = (
            [plan_disturbances(Options(seed=seed), 1000) for _ in range(2)] for seed in (5, 6)
        )
        assert one[0] == one[1]
        assert one[0] != other[0]

    def test_each_disturbance_comes_once_in_five_hundred_payments(self):
        planned = plan_disturbances(Options(payments=1600), 1700)
        counts = Counter(one.disturbance for one in planned)
        assert counts == dict.fromkeys(DISTURBANCES, 3)
        assert [one.after for one in planned] == sorted(one.after for one in planned)
        assert all(0 < one.after < 1700 for one in planned)

    def test_sqlite_is_spared_what_only_postgresql_has(self):
        planned = {one.disturbance for one in plan_disturbances(Options(database="sqlite"), 100)}
        assert planned == {one for one in DISTURBANCES if one.only is None}

    def test_without_kills_nothing_is_ended(self):
        planned = {one.disturbance for one in plan_disturbances(Options(kills=False), 100)}
        assert planned == {one for one in DISTURBANCES if not one.kills}


def test_fates_are_read_from_the_simulators_own_table():
    outcomes = [
        {"digits": "", "shop_ends": "paid"},
        {"digits": "0000", "shop_ends": "unknown"},
        {"digits": "1032", "shop_ends": "cancelled"},
        {"digits": "2001", "shop_ends": "failed"},
        {"digits": "7001", "shop_ends": "paid"},
        {"digits": "7102", "shop_ends": "failed"},
    ]
    requests = [
        {"digits": "", "name": "success"},
        {"digits": "7401", "name": "result_lost"},
        {"digits": "7413", "name": "result_forged"},
    ]
    menu = [
        {"digits": "", "name": "success"},
        {"digits": "7301", "name": "confirmation_lost"},
        {"digits": "7317", "name": "confirmation_forged"},
    ]
    tables = {"outcomes": outcomes, "requests": requests, "c2b": menu}
    fates = Fates(["7001", "7102"], ["1032", "2001"], ["7401", "7413"], ["7301"])
    assert Fates.read(tables) == fates
    assert Fates.read(tables, in_a_hurry=True) == replace(fates, refund_troubles=["7401"])


class TestTyping:
    def test_a_right_number_in_any_spelling_is_that_number_and_fits_the_field(self):
        dice = Random(1)
        for _ in range(300):
            number = new_order_number()
            typed = spell(dice, number)
            assert len(typed) <= 20
            assert number in tidy_order_number(typed)

    def test_a_wrong_number_is_no_number(self):
        dice = Random(1)
        for _ in range(300):
            number = new_order_number()
            wrong = mistype(dice, number)
            assert 0 < len(wrong) <= 20
            assert not is_order_number(wrong)

    @pytest.mark.parametrize(("shillings", "parts"), [(1, 3), (2, 2), (3, 3), (7_001, 3)])
    def test_parts_add_up_and_none_is_nothing(self, shillings, parts):
        found = _split(Random(1), shillings, parts)
        assert sum(found) == shillings
        assert all(part > 0 for part in found)


class TestOffice:
    def test_a_command_that_fails_is_told_with_its_words(self, tmp_path):
        environment = shop_environment(
            database_url=f"sqlite:///{tmp_path}/sokoni.db",
            queue_url=f"sqlite:///{tmp_path}/queue.db",
            port=1,
            public_url="http://127.0.0.1:1",
            mpesa_base_url="http://127.0.0.1:1",
        )
        office = Office(tmp_path, environment)
        assert office.run("db", "upgrade") is None
        assert "Not complete" in office.fetch_list()
        with pytest.raises(RuntimeError, match="`register-urls` failed: "):
            office.register()


class TestCrowd:
    def test_every_story_is_told_to_its_end_and_never_more_than_so_many_at_once(self):
        ended, at_once, lock = [], [], threading.Lock()
        crowd = Crowd(threads=4, most_at_once=3)

        def tell(number):
            for _ in range(3):
                with lock:
                    at_once.append(crowd.under_way)
                yield 0.001
            ended.append(number)

        crowd.run(iter([lambda number=number: tell(number) for number in range(20)]), lambda: None)
        assert sorted(ended) == list(range(20))
        assert max(at_once) <= 3
        assert (crowd.begun, crowd.told, crowd.broken) == (20, 20, [])

    def test_a_story_may_begin_another_which_is_told_to_its_end_too(self):
        ended = []
        crowd = Crowd(threads=2, most_at_once=1)

        def other():
            yield 0.01
            ended.append("other")

        def tell():
            crowd.also(other())
            yield 0.0
            ended.append("first")

        crowd.run(iter([tell]), lambda: None)
        assert sorted(ended) == ["first", "other"]
        assert (crowd.begun, crowd.told, crowd.under_way) == (1, 1, 0)

    def test_a_story_that_breaks_is_kept_and_ends_no_other(self):
        ended = []
        crowd = Crowd(threads=2, most_at_once=2)

        def breaks():
            yield 0.0
            raise KeyError("id")

        def tell():
            yield 0.001
            ended.append("told")

        crowd.run(iter([breaks, tell]), lambda: None)
        assert ended == ["told"]
        assert [trace.splitlines()[-1] for trace in crowd.broken] == ["KeyError: 'id'"]


@pytest.fixture
def server():
    """Answers each request with its path and what the request said of itself."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = b'{"code": "%s", "body": %s}' % (self.path.encode(), body or b"null")
            self.send_response(503)
            self.send_header("Retry-After", "2")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_):
            """Who calls may hang up."""

    with Server(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield listening
        listening.shutdown()
        thread.join()


class TestCaller:
    def test_an_answer_is_read_whole(self, server):
        caller = Caller(server.server_port)
        answer = caller.call("POST", "/there", {"a": 1}, token="t", key="k")
        assert answer == Answer(503, {"code": "/there", "body": {"a": 1}}, 2.0)
        assert answer.code == "/there"
        caller.close()

    def test_who_hangs_up_gets_no_answer_and_may_call_again(self, server):
        caller = Caller(server.server_port)
        with pytest.raises(NoAnswer, match="hung up"):
            caller.call("POST", "/there", {}, hang_up_after_seconds=0)
        assert caller.call("POST", "/there", {}).status == 503
        caller.close()

    def test_where_nobody_listens_there_is_no_answer(self, server):
        line = Line(1)
        with line, pytest.raises(NoAnswer):
            Caller(line.port).call("POST", "/there", {})


class TestLine:
    def test_it_carries_both_ways(self, server):
        with Line(server.server_port) as line:
            caller = Caller(line.port)
            assert caller.call("POST", "/through", {}).code == "/through"
            caller.close()

    def test_while_it_is_cut_nobody_comes_through_and_afterwards_all_do(self, server):
        with Line(server.server_port) as line:
            line.cut(3600)
            with pytest.raises(NoAnswer):
                Caller(line.port).call("POST", "/through", {})
            line.cut(0)
            caller = Caller(line.port)
            assert caller.call("POST", "/through", {}).code == "/through"
            caller.close()

    def test_a_cut_resets_what_is_under_way(self, server):
        with Line(server.server_port) as line:
            connection = http.client.HTTPConnection("127.0.0.1", line.port, timeout=20)
            with closing(connection):
                connection.request("POST", "/through", b"{}")
                assert connection.getresponse().read()
                line.cut(3600)
                with pytest.raises((OSError, http.client.HTTPException)):
                    connection.request("POST", "/through", b"{}")
                    connection.getresponse()


def test_a_phone_that_was_rung_more_often_than_asked_is_named():
    told = Told(
        prompts={"254711": 2, "254722": 1, "254733": 1}, prompts_asked={"254711": 1, "254722": 3}
    )
    assert [(row.subject, row.detail) for row in find_pestered_phones(told)] == [
        ("phone 254711", "was rung 2 times for 1 wishes"),
        ("phone 254733", "was rung 1 times for 0 wishes"),
    ]


class TestCheckingBooks:
    def test_a_lost_payment_is_named_counted_and_unexplained(self):
        lost, doubled, unexplained = check_books(compare([moved()], [], [], []))
        assert (lost.amount, [row.subject for row in lost.rows]) == (1, ["UKQ1AAAAAA"])
        assert doubled.holds
        assert unexplained.amount == 100
        assert [row.subject for row in unexplained.rows] == ["order ABC2345"]

    def test_wrongs_that_cancel_each_other_out_are_unexplained_all_the_same(self):
        movements = [moved(cents=10_000), moved("UKQ1BBBBBB", 20_000, "ABC2345", "ws_CO_2")]
        bookings = [booked(1, 20_000), booked(2, 10_000, names=("ws_CO_2",))]
        comparison = compare(movements, bookings, [], [])
        assert comparison.differences == {}
        unexplained = check_books(comparison)[2]
        assert unexplained.amount == 200
        assert not unexplained.holds

    def test_explained_books_leave_nothing(self):
        checks = check_books(Comparison([], [], [], [], {}))
        assert [check.holds for check in checks] == [True, True, True]


REPORT = Report(
    database="sqlite",
    seed=7,
    command="make drill",
    stories={"pays": 2},
    orders=2,
    attempts=3,
    moved=Money(2, 3_000_00),
    from_menu=Money(1, 1_000_00),
    returned=Money(0, 0),
    booked=Money(2, 3_000_00),
    placeless=Money(0, 0),
    held=Money(0, 0),
    held_back=Money(0, 0),
    disputed=Money(0, 0),
    misread=Money(0, 0),
    owed=Money(0, 0),
    checks=[Check("payments lost", 0), Check("shillings unexplained", 0.0)],
    settle_p50_seconds=0.25,
    settle_p99_seconds=4.0,
    payments_a_second=12.5,
    shopping_seconds=10.0,
    settling_seconds=2.0,
    roads={"callback": 1, "pull": 1},
    disturbances={"database killed": 1},
    refusals={"out_of_stock": 3},
)


class TestReport:
    def test_where_all_is_nothing_every_shilling_is_explained(self):
        assert REPORT.holds
        lines = REPORT.to_text().splitlines()
        assert "payments lost                 0" in lines
        assert "payments that really moved    2 (KES 3,000.00)" in lines
        assert "of these from the menu        1 (KES 1,000.00)" in lines
        assert "stories                            2  pays" in lines
        assert lines[-1] == "Every shilling is explained."

    def test_what_does_not_hold_is_named_with_what_repeats_it(self):
        wrong = Check("shillings unexplained", 100.5, [Row("order A", "is wrong by KES 100.50")])
        failed = replace(REPORT, checks=[REPORT.checks[0], wrong])
        assert not failed.holds
        assert failed.to_text().splitlines()[-4:] == [
            "THE DRILL FAILED.",
            "shillings unexplained: 100.50",
            "  order A: is wrong by KES 100.50",
            "Repeat it with: make drill",
        ]

    def test_rows_alone_are_enough_to_fail(self):
        assert not Check("shillings unexplained", 0.0, [Row("order A", "swapped")]).holds

    def test_a_program_reads_the_same(self):
        document = REPORT.to_json()
        assert document["holds"] is True
        assert document["moved"] == {"times": 2, "cents": 300_000}
        assert document["from_menu"] == {"times": 1, "cents": 100_000}
        assert document["roads"] == {"callback": 1, "pull": 1}
        assert document["checks"][0] == {"name": "payments lost", "amount": 0, "rows": []}


class TestOptions:
    def test_the_command_that_repeats_a_drill_names_what_differs(self):
        options = Options(
            database="sqlite", payments=50, seed=3, kills=False, faults=Faults(refused=0.5)
        )
        assert options.command == (
            'make drill DRILL_ARGS="--database sqlite --payments 50 --seed 3 --no-kills'
            ' --refused 0.5"'
        )

    def test_the_command_can_be_parsed_again(self):
        options = Options(rounds=2, web_workers=3, clock_factor=40, hurry=True)
        words = options.command.partition('"')[2].rstrip('"').split()
        parsed = main.make_context("drill", words).params
        assert (parsed["rounds"], parsed["web_workers"]) == (2, 3)
        assert (parsed["clock_factor"], parsed["hurry"]) == (40, True)
        assert (parsed["payments"], parsed["seed"]) == (options.payments, options.seed)

    def test_the_help_names_every_fault_with_its_default(self):
        result = CliRunner().invoke(main, ["--help"])
        assert result.exit_code == 0
        for name in ("callback-lost", "callback-twice", "answer-lost", "client-hangs-up"):
            assert f"--{name}" in result.output

    @pytest.mark.parametrize("words", [["--payments", "0"], ["--refused", "1.5"], ["extra"]])
    def test_what_makes_no_sense_is_refused(self, words):
        assert CliRunner().invoke(main, words).exit_code == 2
