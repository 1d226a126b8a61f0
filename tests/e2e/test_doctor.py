"""Every mistake of a set-up is made for real, against the simulator, and the doctor names it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cached_property
from itertools import chain
from typing import Any

import pytest
from sqlalchemy import select, update

from app import schema_migrations
from app.cli.doctor import open_exam
from app.cli.doctor.checks import CHECKS
from app.cli.doctor.exam import Wishes
from app.cli.doctor.running import choose, examine
from app.cli.doctor.show import as_json
from app.config import Config
from app.db import Database
from app.models import DoctorProbe, MpesaRequest, WorkerHeartbeat
from app.policies import Role
from app.utils.clock import utc_now
from daraja_simulator import Api, Initiator, Merchant, SimulatorConfig, SimulatorServer
from drill.environment import MANAGE
from drill.processes import PATIENCE_SECONDS, free_port, wait_until
from tests.certificates import rsa_certificate
from tests.e2e.shop import Shop
from tests.factories import make_user

PAYBILL, STORE, TILL = "600123", "600124", "5001234"
RIGHT = {
    "MPESA_SHORTCODE": PAYBILL,
    "MPESA_PASSKEY": "passkey-of-the-paybill",
    "MPESA_CONSUMER_KEY": "key-of-the-shop",
    "MPESA_CONSUMER_SECRET": "secret-of-the-shop",
    "MPESA_INITIATOR_NAME": "shopapi",
    "MPESA_INITIATOR_PASSWORD": "initiator-of-the-shop",
    "RATE_LIMITS_ENABLED": "true",
}
RIGHT_TILL = {"MPESA_SHORTCODE": STORE, "MPESA_PASSKEY": "passkey-of-the-store"}
SAFARICOM: dict[str, Any] = {
    "clock_factor": 10,
    "consumer_key": RIGHT["MPESA_CONSUMER_KEY"],
    "consumer_secret": RIGHT["MPESA_CONSUMER_SECRET"],
    "merchants": (
        Merchant(PAYBILL, RIGHT["MPESA_PASSKEY"]),
        Merchant(STORE, RIGHT_TILL["MPESA_PASSKEY"], till=TILL),
    ),
    "initiators": (Initiator("shopapi", RIGHT["MPESA_INITIATOR_PASSWORD"]),),
}
SECRETS = [
    value
    for name, value in (RIGHT | RIGHT_TILL).items()
    if name.endswith(("_KEY", "_SECRET", "_PASSKEY", "_PASSWORD"))
]
HOURS_OFF = timedelta(hours=2)


@dataclass(frozen=True)
class Examination:
    """What the doctor said."""

    output: str
    errors: str = ""
    exit_code: int | None = None

    @cached_property
    def checks(self) -> dict[str, list[dict[str, str]]]:
        return {one["name"]: one["findings"] for one in json.loads(self.output)["checks"]}

    @property
    def codes(self) -> dict[str, list[str]]:
        return {name: [one["code"] for one in found] for name, found in self.checks.items()}

    @property
    def faults(self) -> set[str]:
        lines = chain.from_iterable(self.checks.values())
        return {line["code"] for line in lines if line["level"] == "fault"}

    def sentence(self, check: str) -> str:
        return " ".join(line["sentence"] for line in self.checks[check])

    def hides_secrets(self) -> bool:
        shown = self.output + self.errors
        return not any(secret in shown for secret in (*SECRETS, "254712345678", "word-of-pg"))


def run_doctor(shop: Shop, *arguments: str) -> Examination:
    """The command itself, as a person starts it."""
    done = subprocess.run(
        [sys.executable, MANAGE, "doctor", "--json", *arguments],
        cwd=shop.folder,
        env=shop.environment(**RIGHT),
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_SECONDS,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Examination(done.stdout, done.stderr, done.returncode)


def examine_here(shop: Shop, only: Sequence[str], phone: str | None, **changes: str) -> Examination:
    """The same in this process, which is spared the start of another."""
    config = Config.from_environment(shop.environment(**(RIGHT | changes)))
    exam = open_exam(config, Wishes(phone), lambda _line: None)
    reports = examine(exam, choose(CHECKS, only))
    exam.examiner.close()
    exam.work.database.dispose()
    return Examination(as_json(reports))


@pytest.fixture(scope="module")
def safaricom():
    with SimulatorServer(SimulatorConfig(**SAFARICOM)) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def shop(make_shop, safaricom):
    """A shop that is open, with a web server and no worker yet."""
    with make_shop("doctor") as shop:
        shop.simulator_url = safaricom.url
        with shop.database.transaction() as session:
            make_user(session, Role.ADMIN)
        shop.start_web()
        yield shop


def rows(shop: Shop, model) -> list:
    with shop.reading() as session:
        return list(session.scalars(select(model)))


def test_a_sound_shop_is_found_sound_end_to_end(shop, safaricom):
    alone = run_doctor(shop, "--only", "worker", "--only", "backlog")
    assert (alone.exit_code, alone.codes["worker"]) == (1, ["worker_never"])

    shop.start_worker()
    wait_until(lambda: rows(shop, WorkerHeartbeat), "the worker has swept")
    paid_before = len(safaricom.gateway.ledger.movements())
    sound = run_doctor(shop, "--phone", "0712345678", "--yes", "--balance")
    # the PostgreSQL of the tests is told to forget what a power cut takes
    forgetful = set() if shop.database.is_sqlite else {"fsync_off", "commit_not_durable"}
    assert sound.faults == forgetful, sound.output
    assert sound.exit_code == (1 if forgetful else 0)
    assert sound.hides_secrets()
    skipped = {name for name, codes in sound.codes.items() if codes == ["skipped"]}
    assert skipped - {"connections"} == {"name", "certificate", "confirmations"}
    assert sound.codes["push"] == ["ok", "ok"]
    for check in ("token", "pair", "arrival", "status", "balance", "pull", "worker", "limits"):
        assert sound.codes[check] == ["ok"], sound.sentence(check)
    assert "look at 2547****678" in sound.errors
    (paid,) = safaricom.gateway.ledger.movements()[paid_before:]
    assert paid.cents == 100
    assert [one.state for one in rows(shop, MpesaRequest)] == ["answered", "answered"]
    assert rows(shop, DoctorProbe) == []

    shop.stop_worker()
    with shop.database.transaction() as session:
        session.execute(
            update(WorkerHeartbeat).values(swept_at=utc_now() - timedelta(minutes=10, seconds=5))
        )
    silent = examine_here(shop, ["worker"], None)
    assert silent.codes["worker"] == ["worker_silent"]
    assert "for 10 minutes" in silent.sentence("worker")


# --- one mistake at a time ---


@pytest.fixture(scope="module")
def other_rules():
    """Safaricoms of another kind: strict, in another time, poor in products."""
    with ExitStack() as stack:

        def start(**changes) -> SimulatorServer:
            config = SimulatorConfig(**(SAFARICOM | changes))
            return stack.enter_context(SimulatorServer(config))

        past = datetime.now(UTC) - HOURS_OFF
        in_the_past = start(start_at=past, timestamp_minutes=5, clock_factor=1)
        show_another_time(in_the_past)
        yield {
            STRICT: start(strict_callback_urls=True).url,
            PAST: in_the_past.url,
            POOR: start(
                missing_products=frozenset({Api.EXPRESS, Api.STATUS, Api.PULL}),
                empty_credentials_error=True,
            ).url,
        }


def show_another_time(simulator: SimulatorServer) -> None:
    """In the header that a server adds by itself."""

    class Late(simulator._server.RequestHandlerClass):
        def date_time_string(self, timestamp=None) -> str:
            return format_datetime(datetime.now(UTC) - HOURS_OFF, usegmt=True)

    simulator._server.RequestHandlerClass = Late


@dataclass(frozen=True)
class Mistake:
    """What is set wrong, what is said of it, and what is looked at: all, if nothing is named."""

    settings: dict[str, str]
    codes: dict[str, str]
    only: tuple[str, ...] = ()
    phone: str | None = None


STRICT, PAST, POOR = "strict", "past", "poor"  # other Safaricoms
STRANGER, BEHIND, ELSEWHERE, BELIEVING = "stranger", "behind", "elsewhere", "believing"

MISTAKES = {
    "wrong secret": Mistake(
        {"MPESA_CONSUMER_SECRET": "another-secret"},
        {"token": "token_refused", "pair": "skipped", "push": "skipped", "status": "skipped"},
    ),
    "wrong secret, answered with nothing": Mistake(
        {"MPESA_CONSUMER_SECRET": "another-secret", "MPESA_BASE_URL": POOR},
        {"token": "token_refused"},
        only=("token",),
    ),
    "wrong passkey, wrong password, limits in memory": Mistake(
        {
            "MPESA_PASSKEY": "passkey-of-another",
            "MPESA_INITIATOR_PASSWORD": "password-of-another",
            "RATE_LIMIT_STORAGE_URL": "memory://",
        },
        {"pair": "passkey_wrong", "status": "initiator_credential", "limits": "limits_alone"},
        only=("pair", "status", "limits"),
    ),
    "unknown shortcode, wrong certificate": Mistake(
        {"MPESA_SHORTCODE": "600999", "MPESA_CERTIFICATE": STRANGER},
        {"pair": "shortcode_unknown", "status": "initiator_credential"},
        only=("pair", "status"),
    ),
    "till as paybill": Mistake(
        RIGHT_TILL,
        {"pair": "ok", "push": "paybill_is_till ok"},
        only=("push",),
        phone="254712000001",
    ),
    "paybill as till": Mistake(
        {"MPESA_TILL": TILL},
        {"pair": "ok", "push": "till_is_paybill ok"},
        only=("push",),
        phone="254712000002",
    ),
    "wrong till": Mistake(
        RIGHT_TILL | {"MPESA_TILL": "5009999"},
        {"pair": "ok", "push": "till_unknown ok"},
        only=("push",),
        phone="254712000003",
    ),
    "an address that is refused": Mistake(
        {"MPESA_BASE_URL": STRICT},
        {"push": "callback_refused", "status": "callback_refused"},
        only=("push", "status"),
        phone="254712000004",
    ),
    "a blocked word": Mistake(
        {"PUBLIC_URL": "https://lipa-na-mpesa.invalid"},
        {"wording": "address_word", "address": "ok", "name": "skipped"},
        only=("wording", "name"),
    ),
    "wrong clock": Mistake(
        {"MPESA_BASE_URL": PAST},
        {"clock": "clock_off", "pair": "timestamp_refused"},
        only=("clock", "pair"),
    ),
    "no products": Mistake(
        {"MPESA_BASE_URL": POOR},
        {"pair": "product_missing", "status": "product_missing", "pull": "product_missing"},
        only=("pair", "status", "pull"),
    ),
    "migrations behind": Mistake(
        {"DATABASE_URL": BEHIND},
        {"migrations": "migrations_behind", "worker": "skipped", "pair": "ok", "pull": "skipped"},
    ),
    "another database": Mistake(
        {"DATABASE_URL": ELSEWHERE},
        {"callback": "ok", "arrival": "callback_elsewhere"},
        only=("arrival",),
    ),
    "a proxy that is not there": Mistake(
        {"PUBLIC_URL": BELIEVING, "TRUSTED_PROXY_COUNT": "1"},
        {"callback": "ok", "arrival": "proxies_too_many"},
        only=("arrival",),
    ),
    "everything away": Mistake(
        {
            "DATABASE_URL": "postgresql://shop:word-of-pg@127.0.0.1:1/shop",
            "MPESA_BASE_URL": "http://127.0.0.1:1",
            "PUBLIC_URL": "http://127.0.0.1:1",
            "QUEUE_URL": "redis://127.0.0.1:1/0",
            "RATE_LIMIT_STORAGE_URL": "redis://127.0.0.1:1/1",
        },
        {
            "database": "database_unreachable",
            "gateway": "gateway_unreachable",
            "reachable": "address_unreachable",
            "queue": "queue_unreachable",
            "limits": "limits_unreachable",
            "files": "ok",
            "clock": "skipped",
        },
    ),
}


@pytest.fixture(scope="module")
def places(shop, other_rules, sqlite_template, tmp_path_factory) -> dict[str, str]:
    """What the words in the mistakes above stand for."""
    folder = tmp_path_factory.mktemp("mistakes")
    stranger = folder / "stranger.pem"
    stranger.write_bytes(rsa_certificate("stranger.example"))
    bring_up(folder / "behind.db", "0008")
    shutil.copy(sqlite_template, folder / "elsewhere.db")
    port = free_port()
    believing = f"http://127.0.0.1:{port}"
    shop.start_web(wait=False, PORT=str(port), PUBLIC_URL=believing, TRUSTED_PROXY_COUNT="1")
    shop.wait_for_web(believing)
    return other_rules | {
        STRANGER: str(stranger),
        BEHIND: f"sqlite:///{folder}/behind.db",
        ELSEWHERE: f"sqlite:///{folder}/elsewhere.db",
        BELIEVING: believing,
    }


@pytest.fixture(scope="module")
def findings(shop, places) -> dict[str, Examination]:
    """Each mistake's examination, made side by side: most of the time they wait."""

    def make(mistake: Mistake) -> Examination:
        settings = {name: places.get(value, value) for name, value in mistake.settings.items()}
        return examine_here(shop, mistake.only, mistake.phone, **settings)

    with ThreadPoolExecutor(5) as pool:
        return dict(zip(MISTAKES, pool.map(make, MISTAKES.values()), strict=True))


def bring_up(file, revision) -> None:
    database = Database(f"sqlite:///{file}")
    schema_migrations.upgrade(database, revision)
    database.dispose()


@pytest.mark.parametrize("e2e_database_kind", ["sqlite"], indirect=True, scope="package")
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_by_its_code(findings, name):
    codes = MISTAKES[name].codes
    said = {check: findings[name].codes[check] for check in codes}
    assert said == {check: code.split() for check, code in codes.items()}, findings[name].output
    assert findings[name].hides_secrets()


@pytest.mark.parametrize("e2e_database_kind", ["sqlite"], indirect=True, scope="package")
def test_the_sentences_say_what_to_do(findings):
    for name, check, words in (
        ("till as paybill", "push", "set MPESA_TILL to the till number"),
        ("paybill as till", "push", "leave MPESA_TILL empty"),
        ("unknown shortcode, wrong certificate", "pair", "knows no merchant 600999"),
        ("wrong clock", "clock", "s ahead of Safaricom's"),
        ("no products", "pull", "lacks the product Pull Transactions"),
        ("migrations behind", "migrations", "is at 0008 and the code expects"),
        ("a proxy that is not there", "arrival", "set it to 0."),
        ("everything away", "worker", "what database found has to be mended first."),
    ):
        assert words in findings[name].sentence(check)
