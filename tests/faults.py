"""The faults that must leave nothing lost, by their numbers, and which tests bring each about.

A test says which faults it is about with ``@pytest.mark.fault("F15")``. Run as a program this runs
those tests and prints the table of docs/reliability.md; ``--write`` puts it there. A fault without
a test, or with one that fails, ends in exit code 1.
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import pytest

FAULTS = {
    "F1": "killed after the stock was held, before the order was written",
    "F2": "killed after the order was committed, before the answer",
    "F3": "killed after an attempt was recorded, before Safaricom was called",
    "F4": "killed after Safaricom accepted, before its ids were stored",
    "F5": "killed between storing a callback and answering it",
    "F6": "killed between answering a callback and reading it",
    "F7": "killed in the middle of a settlement",
    "F8": "the web server's main process killed",
    "F9": "Safaricom answers 500 after it accepted the push",
    "F10": "no answer in time after it accepted the push",
    "F11": "Safaricom cannot be reached: refused, unknown name, wrong certificate",
    "F12": "Safaricom takes the connection and never answers",
    "F13": "the access token expires in use, or none is given",
    "F14": "answer and callback both lost",
    "F15": "callback lost",
    "F16": "callback fifty times at once",
    "F17": "callback after the order expired, stock still there",
    "F18": "callback after the order expired, stock gone",
    "F20": "callback before the push was answered",
    "F23": "two tabs pay one order",
    "F24": "cancelled while it is paid",
    "F25": "expires while it is paid",
    "F26": "the expiry runs twice, or in two workers",
    "F27": "refunded twice at once; refunded while a second payment comes",
    "F28": "a refund's answer is lost",
    "F31": "many buyers, the last units",
    "F33": "baskets with the same products in opposite order",
    "F34": "PostgreSQL restarted under load",
    "F35": "a process of PostgreSQL killed",
    "F36": "the connection cut before, or after, the server saw COMMIT",
    "F38": "every connection of the pool taken",
    "F39": "a transaction forgotten open",
    "F40": "SQLite locked by another writer; 16 writers",
    "F41": "twice and four times the load that can be carried",
    "F42": "slow and idle clients by the hundred",
    "F43": "SIGTERM with requests in flight",
    "F45": "disk full",
    "F46": "a migration under traffic",
    "F47": "the old and the new version at once",
    "F48": "a backup of an hour ago restored",
    "F49": "the store of the limits is gone",
    "F50": "killed after a webhook was sent, before that was written down",
    "F52": "two schedulers, or a sweep run twice",
}
"""The gaps are numbers whose fault another one includes."""

DOCUMENT = Path(__file__).parents[1] / "docs" / "reliability.md"
_BEGIN = "<!-- faults: made by `make reliability` -->"
_END = "<!-- end of faults -->"
_KINDS = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
_SERVER_ALONE = ("e2e/test_restarts.py", "test_a_database_out_of_reach")
"""Tests of what only a database server can suffer, though their names do not say so."""


class Collector:
    """A plugin of pytest that remembers what became of each test about a fault."""

    def __init__(self) -> None:
        self.numbers: dict[str, tuple[str, ...]] = {}
        self.failed: set[str] = set()
        self.passed: set[str] = set()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            self.numbers[item.nodeid] = faults_of(item)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)
        elif report.when == "call" and report.passed:
            self.passed.add(report.nodeid)


def faults_of(item: pytest.Item) -> tuple[str, ...]:
    """The numbers that a test was marked with."""
    return tuple(str(number) for mark in item.iter_markers("fault") for number in mark.args)


def _kinds_of(nodeid: str) -> set[str]:
    if any(part in nodeid for part in _SERVER_ALONE):
        return {"postgresql"}
    named = {kind for kind in _KINDS if kind in nodeid.partition("[")[2]}
    return named or set(_KINDS)


def table_of(found: Collector) -> tuple[list[str], bool]:
    """The table's lines, and whether every fault is covered and passes."""
    tests: dict[str, set[str]] = defaultdict(set)
    seen: dict[str, set[str]] = defaultdict(set)
    bad: dict[str, set[str]] = defaultdict(set)
    for nodeid, numbers in found.numbers.items():
        for number in numbers:
            if nodeid in found.failed:
                bad[number] |= _kinds_of(nodeid)
            if nodeid in found.passed | found.failed:
                tests[number].add(nodeid.partition("[")[0])
                seen[number] |= _kinds_of(nodeid)
    lines = ["| | fault | SQLite | PostgreSQL | tests |", "|---|---|---|---|---|"]
    for number, sentence in FAULTS.items():
        marks = [
            "fails" if kind in bad[number] else "holds" if kind in seen[number] else "-"
            for kind in _KINDS
        ]
        where = sorted({_file_of(test) for test in tests[number]})
        lines.append(f"| {number} | {sentence} | {' | '.join(marks)} | {'<br>'.join(where)} |")
    is_whole = not found.failed and all(tests[number] for number in FAULTS)
    return lines, is_whole


def _file_of(test: str) -> str:
    path = test.partition("::")[0]
    return f"`{path.removeprefix('tests/')}`"


def write_table(lines: list[str]) -> None:
    text = DOCUMENT.read_text()
    head, rest = text.split(_BEGIN)
    tail = rest.split(_END)[1]
    table = "\n".join(lines)
    DOCUMENT.write_text(f"{head}{_BEGIN}\n\n{table}\n\n{_END}{tail}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into the docs")
    parser.add_argument("rest", nargs="*", help="further arguments for pytest, after --")
    arguments = parser.parse_args()
    found = Collector()
    pytest.main(["-m", "fault", "-n", "0", *arguments.rest], plugins=[found])
    lines, is_whole = table_of(found)
    print("\n".join(lines))
    if arguments.write:
        write_table(lines)
    return 0 if is_whole else 1


if __name__ == "__main__":
    sys.exit(main())
