"""An examination with nothing real outside: what each check is told can be set."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from app.cli.doctor.checks import CHECKS
from app.cli.doctor.exam import Exam, Report, Wishes
from app.cli.doctor.findings import Level
from app.cli.doctor.quoting import Quoter, secrets_of
from app.cli.doctor.running import _report, _Run
from app.config import Config
from app.integrations.mpesa import Examiner
from app.integrations.outside import Sight, Trouble, Unreached
from app.jobs.build import build_mpesa_settings
from app.jobs.work import Work
from app.ports import AccessToken
from tests.fakes import FakeClock

SOUND_SECRETS = {
    "SECRET_KEY": "k3Jd8sPq0ZxN7vRt2LmW5yBc9HfG4aEu",
    "JWT_SECRET_KEY": "Qw7Er2Ty9Ui4Op1As6Df3Gh8Jk5Lz0Xc",
}
LIVE_SETTINGS = {
    **SOUND_SECRETS,
    "MPESA_ENV": "production",
    "MPESA_CONSUMER_KEY": "key-of-our-own-app",
    "MPESA_CONSUMER_SECRET": "consumer-secret-of-our-own",
    "MPESA_SHORTCODE": "600123",
    "MPESA_PASSKEY": "passkey-of-our-own-0123",
    "PUBLIC_URL": "https://duka.co.ke",
}
TOKEN = AccessToken("a-token-of-28-characters-xyz", datetime(2100, 1, 1, tzinfo=UTC))
BY_NAME = {check.name: check for check in CHECKS}


class FakeOutside:
    """The web as a test sets it: answers by the beginning of the address, names, certificates."""

    def __init__(self) -> None:
        self.answers: dict[str, Sight | Exception | Callable[..., Sight]] = {}
        self.names: dict[str, list[str]] = {}
        self.certificate: datetime | Exception | None = None
        self.looks: list[tuple[str, str, Mapping[str, str], bytes | None]] = []

    def look(self, method, url, *, headers=None, content=None) -> Sight:
        self.looks.append((method, url, dict(headers or {}), content))
        for beginning, answer in self.answers.items():
            if url.startswith(beginning):
                if isinstance(answer, Exception):
                    raise answer
                return answer if isinstance(answer, Sight) else answer(*self.looks[-1])
        raise Unreached(Trouble.REFUSED, "[Errno 111] Connection refused")

    def resolve(self, host) -> list[str]:
        if host not in self.names:
            raise Unreached(Trouble.NAME, "[Errno -2] Name or service not known")
        return self.names[host]

    def certificate_ends_at(self, _host, _port) -> datetime:
        if isinstance(self.certificate, Exception):
            raise self.certificate
        assert self.certificate is not None
        return self.certificate


@dataclass
class FakeDaraja:
    """Safaricom in memory: one answer for the token, the others in turn, the last for ever."""

    token: tuple = (200, {"access_token": TOKEN.value, "expires_in": "3599"})
    answers: list[tuple] = field(default_factory=list)
    bodies: list[dict] = field(default_factory=list)

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/oauth/v1/generate":
            return _respond(self.token)
        self.bodies.append(json.loads(request.content))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return _respond(answer)


def _respond(answer) -> httpx2.Response:
    if isinstance(answer, Exception):
        raise answer
    status, body = answer
    content = json.dumps(body).encode() if isinstance(body, dict) else body
    return httpx2.Response(status, content=content)


def envelope(code: str, text: str) -> dict:
    return {"requestId": "11728-2929992-1", "errorCode": code, "errorMessage": text}


def sight(status=200, body=b"", **headers) -> Sight:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    content = json.dumps(body).encode() if isinstance(body, dict) else body
    return Sight(status, named, content, 0.012)


@pytest.fixture(autouse=True)
def _at_home(home):
    """No check reads a file of ours."""


@pytest.fixture
def outside() -> FakeOutside:
    return FakeOutside()


@pytest.fixture
def daraja() -> FakeDaraja:
    return FakeDaraja()


@pytest.fixture
def live() -> Config:
    """The settings of a shop in production."""
    return Config.from_environment(LIVE_SETTINGS)


@pytest.fixture
def laptop() -> Config:
    """The settings of a shop with its simulator on this machine."""
    return Config.from_environment(SOUND_SECRETS)


class Time:
    """Passes when somebody waits, and at no other moment."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.seconds = 1000.0
        self.on_pause: Callable[[], object] = lambda: None

    def pause(self, seconds: float) -> None:
        self.seconds += seconds
        self._clock.now += timedelta(seconds=seconds)
        self.on_pause()

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def time(clock) -> Time:
    return Time(clock)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def make_exam(database, ports, outside, daraja, time, said):
    """An examination of these settings, on an empty, migrated database of each kind in turn."""

    def make(config: Config, **wishes) -> Exam:
        exam = Exam(
            work=Work(database, ports, replace(config, database_url=str(database.url))),
            outside=outside,
            examiner=Examiner(
                build_mpesa_settings(config), ports.clock, httpx2.MockTransport(daraja)
            ),
            quoter=Quoter(secrets_of(config)),
            wishes=Wishes(**wishes),
            say=said.append,
            pause=time.pause,
            monotonic=time.monotonic,
        )
        exam.known.token = TOKEN
        return exam

    return make


def look(exam: Exam, name: str) -> Report:
    """One check alone, as the runner reports it; it says nothing that it has not declared."""
    check = BY_NAME[name]
    findings = list(check.run(exam))
    declared = {kind.code for kind in check.kinds} | {Level.OK, Level.SKIPPED}
    assert {finding.code for finding in findings} <= declared
    report = _report(exam, _Run(check, exam.monotonic()), findings)
    exam.reports[name] = report
    return report


def codes(exam: Exam, name: str) -> list[str]:
    return [line.code for line in look(exam, name).lines]


def only_line(exam: Exam, name: str) -> tuple[str, str]:
    """The code and the sentence of the one thing that a check says."""
    (line,) = look(exam, name).lines
    return line.code, line.sentence


def passed(exam: Exam, *names: str) -> Exam:
    """As if these checks had found no fault."""
    for name in names:
        exam.reports[name] = Report(name, BY_NAME[name].group, (), 0.0)
    return exam


def failed(exam: Exam, *names: str) -> Exam:
    for name in names:
        exam.reports[name] = Report(name, BY_NAME[name].group, (), 0.0, blocked_by="gateway")
    return exam
