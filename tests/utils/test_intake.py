"""Reading what was kept waits for a pause in keeping."""

import threading

from app.utils import intake
from app.utils.intake import taking_in, wait_for_a_pause


def test_a_report_is_read_after_those_that_are_being_kept(monkeypatch):
    monkeypatch.setattr(intake, "_LONGEST_WAIT_SECONDS", 60.0)
    done = []

    def read() -> None:
        wait_for_a_pause()
        done.append("read")

    with taking_in():
        reader = threading.Thread(target=read)
        reader.start()
        done.append("kept")
    reader.join()
    assert done == ["kept", "read"]


def test_the_wait_has_an_end():
    with taking_in():
        wait_for_a_pause()
