"""What the bench says and where it writes it; its figures are nobody's to test."""

import sys

import pytest
from click.testing import CliRunner

from bench.cli import main
from bench.peers.environment import CannotMeasureError, _install
from bench.table import OWN, PEERS, Line, with_table
from bench.works import UNNAMED, WORKS
from drill.processes import ROOT

PAGE = ROOT / "docs" / "performance.md"
LINE = Line("a work", "2/s", "1/s", 2.0, "-", is_reached=True)


def test_what_needs_the_network_is_measured_only_by_name():
    assert set(WORKS) - set(UNNAMED) == {"peers"}


@pytest.mark.parametrize(("marks", "others"), [(OWN, PEERS), (PEERS, OWN)], ids=["own", "peers"])
def test_a_table_takes_its_own_place_in_the_page_and_no_other(marks, others):
    page = PAGE.read_text("utf-8")
    written = with_table(page, marks, "One day.", [LINE])
    assert written.split(marks[0])[0] == page.split(marks[0])[0]
    assert written.split(marks[1])[1] == page.split(marks[1])[1]
    between = written.split(marks[0])[1].split(marks[1])[0]
    assert between.startswith("\n\nOne day.\n\n| work ")
    assert "| a work | 2/s  | 1/s     | 2.00  | -    |" in between
    kept = page.split(others[0])[1].split(others[1])[0]
    assert written.split(others[0])[1].split(others[1])[0] == kept


def test_a_page_without_its_marks_is_not_written():
    with pytest.raises(ValueError, match="lost the two marks"):
        with_table("# Performance\n", OWN, "One day.", [LINE])


def test_the_table_of_peers_is_written_by_itself():
    before = PAGE.read_bytes()
    told = CliRunner().invoke(main, ["peers", "catalogue", "--write"])
    assert told.exit_code == 2
    assert "name no other work" in told.output
    assert PAGE.read_bytes() == before


def test_what_cannot_be_installed_is_no_failure_of_the_shop(tmp_path):
    pins = tmp_path / "requirements-other.txt"
    pins.write_text("=== no requirement\n")
    with pytest.raises(CannotMeasureError, match=r"requirements-other\.txt cannot be") as error:
        _install(sys.executable, pins)
    assert error.value.exit_code == 2
