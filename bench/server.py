"""`python -m bench.server [application]`: what `manage.py web` starts, for what is to be measured.

Without what only a developer's environment has: where structlog, SQLAlchemy and redis find these
packages they load them, which takes time and memory.
"""

import sys

for name in ("greenlet", "opentelemetry", "psutil", "pygments", "rich"):
    sys.modules[name] = None  # type: ignore[assignment] # which is how Python forbids an import

from app.cli.web import serve  # noqa: E402 - after what it must not find
from app.config import Config  # noqa: E402 - likewise

if __name__ == "__main__":
    serve(Config.load(), sys.argv[1])
