import shutil
import tempfile
from pathlib import Path

import pytest

from drill.options import Options
from drill.rehearsal import Rehearsal
from tests.conftest import DATABASES

SHORT = {
    "payments": 45,
    "seed": 2,
    "workers": 2,
    "connections": 6,
    "buyers": 12,
    "clock_factor": 40,
    "patience_seconds": 90,
    "hurry": True,
}


@pytest.fixture(scope="session", params=DATABASES)
def drill(request):
    """A short drill with one kill of each kind, and what it found; its database stays open."""
    folder = Path(tempfile.mkdtemp(prefix="sokoni-drill-"))
    try:
        with Rehearsal(Options(database=request.param, **SHORT), folder, _keep_quiet) as rehearsal:
            rehearsal.report = rehearsal.run()
            yield rehearsal
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _keep_quiet(_what: str, _share: float) -> None:
    pass
