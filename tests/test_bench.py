"""What the bench says and where it writes it; its figures are nobody's to test."""

import sys

import pytest

from bench.peers.environment import CannotMeasureError, _install
from bench.table import Line, marks_of, with_table
from bench.works import UNNAMED, WORKS
from drill.processes import ROOT

PAGE = ROOT / "docs" / "performance.md"
LINE = Line("a work", "2/s", "1/s", 2.0, "-", is_reached=True)


def test_what_needs_the_network_is_measured_only_by_name():
    assert set(WORKS) - set(UNNAMED) == {"peers"}


@pytest.mark.parametrize("work", WORKS)
def test_a_table_takes_its_own_place_in_the_page_and_no_other(work):
    page, marks = PAGE.read_text("utf-8"), marks_of(work)
    written = with_table(page, marks, "One day.", [LINE])
    assert written.split(marks[0])[0] == page.split(marks[0])[0]
    assert written.split(marks[1])[1] == page.split(marks[1])[1]
    between = written.split(marks[0])[1].split(marks[1])[0]
    assert between.startswith("\n\nOne day.\n\n| work ")
    assert "| a work | 2/s  | 1/s     | 2.00  | -    |" in between


def test_a_page_without_its_marks_is_not_written():
    with pytest.raises(ValueError, match="lost the two marks"):
        with_table("# Performance\n", marks_of("home"), "One day.", [LINE])


def test_what_cannot_be_installed_is_no_failure_of_the_shop(tmp_path):
    pins = tmp_path / "requirements-other.txt"
    pins.write_text("=== no requirement\n")
    with pytest.raises(CannotMeasureError, match=r"requirements-other\.txt cannot be") as error:
        _install(sys.executable, pins)
    assert error.value.exit_code == 2
