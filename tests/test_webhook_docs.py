"""What docs/webhooks.md tells a merchant to paste verifies what we sign, and nothing else."""

import json
import re
import shutil
import subprocess
import sys
import types
from datetime import timedelta
from http.server import ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from threading import Thread

import httpx2
import pytest

from app.models import WebhookEvent
from app.schemas.webhook_news import SAID_OF, news_example
from app.services.webhooks.outcome import RETRY_AFTER_SECONDS
from app.services.webhooks.signing import new_secret, signed_headers
from app.utils.clock import utc_now

ROOT = Path(__file__).resolve().parents[1]
RECEIVER = ROOT / "examples" / "webhook_receiver.py"
DOCS = (ROOT / "docs" / "webhooks.md").read_text("utf-8")
BODY = '{"type":"test","timestamp":"2026-11-22T09:30:00Z","data":{"message":"Haba é ☕"}}'
SECRET, OLD, OTHER = (new_secret() for _ in range(3))

NODE = """
const {{ secret, headers, body }} = JSON.parse(require("node:fs").readFileSync(0, "utf-8"));
{snippet}
try {{ console.log(verify(secret, headers, Buffer.from(body)).data.message); }}
catch (error) {{ console.log("refused: " + error.message); }}
"""
PHP = """<?php
$given = json_decode(stream_get_contents(STDIN), true);
{snippet}
try {{
    $event = verify($given['secret'], $given['headers'], $given['body']);
    echo $event['data']['message'], "\\n";
}}
catch (RuntimeException $error) {{ echo 'refused: ', $error->getMessage(), "\\n"; }}
"""


def snippets(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)


def headers_of(*secrets: str, **ago: float) -> dict[str, str]:
    signed = signed_headers("evt_17", BODY, secrets, utc_now() - timedelta(**ago))
    return {name.lower(): value for name, value in signed.items()}


def cases() -> dict[str, tuple[dict, str]]:
    """What is given to a snippet, and what it is to say."""
    good, forged = headers_of(SECRET), "refused: not signed with this secret"
    given = {"secret": SECRET, "body": BODY}
    return {
        "what the shop sent": ({**given, "headers": good}, "Haba é ☕"),
        "two signatures": ({**given, "headers": headers_of(OTHER, SECRET)}, "Haba é ☕"),
        "the old secret": (
            {**given, "secret": OLD, "headers": headers_of(SECRET, OLD)},
            "Haba é ☕",
        ),
        "another secret": ({**given, "secret": OTHER, "headers": good}, forged),
        "another body": ({**given, "body": BODY + " ", "headers": good}, forged),
        "another id": ({**given, "headers": {**good, "webhook-id": "evt_18"}}, forged),
        "no signature": ({**given, "headers": {**good, "webhook-signature": ""}}, forged),
        "half a signature": ({**given, "headers": {**good, "webhook-signature": "v1"}}, forged),
        "another version": (
            {
                **given,
                "headers": {
                    **good,
                    "webhook-signature": good["webhook-signature"].replace("v1,", "v2,"),
                },
            },
            forged,
        ),
        "an old request": (
            {**given, "headers": headers_of(SECRET, minutes=6)},
            "refused: not sent just now",
        ),
    }


def verdicts(run) -> dict[str, str]:
    return {name: run(given) for name, (given, _) in cases().items()}


EXPECTED = {name: said for name, (_, said) in cases().items()}


def by_program(*command: str):
    def run(given: dict) -> str:
        done = subprocess.run(
            command, input=json.dumps(given), capture_output=True, text=True, check=True
        )
        assert done.stderr == ""
        return done.stdout.removesuffix("\n")

    return run


def by_function(verify):
    def run(given: dict) -> str:
        try:
            event = verify(given["secret"], given["headers"], given["body"].encode())
        except ValueError as error:
            return f"refused: {error}"
        return event["data"]["message"]

    return run


def test_the_python_snippet_verifies_what_we_sign_and_nothing_else():
    names = {}
    exec(snippets("python")[1], names)
    assert verdicts(by_function(names["verify"])) == EXPECTED


def test_the_example_that_listens_verifies_alike():
    module = types.ModuleType("webhook_receiver")
    exec(RECEIVER.read_text("utf-8"), vars(module))
    assert verdicts(by_function(module.verify)) == EXPECTED
    nothing = by_function(module.verify)({"secret": SECRET, "headers": {}, "body": BODY})
    assert nothing == "refused: not sent just now"


class Pieces(StringIO):
    """Remembers in which pieces it was written to."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def write(self, piece: str) -> int:
        self.pieces.append(piece)
        return super().write(piece)


def test_the_example_prints_an_event_in_one_piece_so_that_no_other_comes_between(monkeypatch):
    module = types.ModuleType("webhook_receiver")
    exec(RECEIVER.read_text("utf-8"), vars(module))
    module.Receiver.secret, module.Receiver.seen = SECRET, set()
    said = Pieces()
    with ThreadingHTTPServer(("127.0.0.1", 0), module.Receiver) as server:
        monkeypatch.setattr(sys, "stdout", said)
        serving = Thread(target=server.serve_forever)
        serving.start()
        url = f"http://127.0.0.1:{server.server_port}/"
        answers = [
            httpx2.post(url, content=BODY.encode(), headers=headers).status_code
            for headers in (headers_of(SECRET), headers_of(SECRET), headers_of(OTHER))
        ]
        server.shutdown()
        serving.join()
    assert answers == [204, 204, 400]
    assert said.pieces == [
        f"evt_17 test {json.dumps(json.loads(BODY)['data'])}\n",
        "evt_17 again\n",
        "refused: not signed with this secret\n",
    ]


def test_the_snippet_with_the_library_takes_what_we_sign_once(monkeypatch):
    monkeypatch.setenv("SOKONI_WEBHOOK_SECRET", SECRET)
    kept = []
    names = {"keep_once": lambda *event: kept.append(event), "__name__": "receiver"}
    exec(snippets("python")[0], names)
    client = names["app"].test_client()
    good = client.post("/sokoni", data=BODY.encode(), headers=headers_of(SECRET))
    assert (good.status_code, kept) == (204, [("evt_17", json.loads(BODY))])
    for secret, body in ((OTHER, BODY), (SECRET, BODY + " ")):
        refused = client.post("/sokoni", data=body.encode(), headers=headers_of(secret))
        assert (refused.status_code, len(kept)) == (400, 1)


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node here")
def test_the_node_snippet_verifies_what_we_sign_and_nothing_else(tmp_path):
    (snippet,) = snippets("js")
    program = tmp_path / "verify.js"
    program.write_text(NODE.format(snippet=snippet), "utf-8")
    assert verdicts(by_program("node", str(program))) == EXPECTED


@pytest.mark.skipif(shutil.which("php") is None, reason="there is no PHP here")
def test_the_php_snippet_verifies_what_we_sign_and_nothing_else(tmp_path):
    (snippet,) = snippets("php")
    program = tmp_path / "verify.php"
    program.write_text(PHP.format(snippet=snippet), "utf-8")
    assert verdicts(by_program("php", str(program))) == EXPECTED


def test_every_type_is_in_the_table_with_all_that_its_data_holds():
    documented = re.findall(r"^\| `([\w.]+)` \| .+ \| (\w*) ?\|$", DOCS, re.MULTILINE)
    assert [name for name, _ in documented] == [str(name) for name in SAID_OF]
    fields = {
        kind: re.findall(r"`(\w+)`", listed)
        for kind, listed in re.findall(
            r"^- \*\*(\w+)\*\*: ((?:.+\n)+?)(?=- |\n)", DOCS, re.MULTILINE
        )
    }
    for name, kind in documented:
        if kind:
            assert fields[kind] == list(news_example(name)["data"]), name


def test_the_schedule_is_the_one_that_is_kept():
    units = {"second": 1, "minute": 60, "hour": 3600}
    waits = re.findall(r"^\| \d+ \| (\d+) (second|minute|hour)s? \|", DOCS, re.MULTILINE)
    assert tuple(int(number) * units[unit] for number, unit in waits) == RETRY_AFTER_SECONDS


def test_an_id_in_the_documentation_looks_like_ours():
    (shown,) = re.findall(r"webhook-id: (\w+)", DOCS)
    assert len(shown) <= WebhookEvent.__table__.columns["public_id"].type.length
    assert re.fullmatch(r"evt_[0-9a-f]{32}", shown)


def test_the_example_says_how_it_is_used():
    done = subprocess.run(
        [sys.executable, str(RECEIVER)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "usage: webhook_receiver.py SECRET [PORT]\n")
