"""Whether a process is traced: what does it is loaded only then."""

from typing import TYPE_CHECKING

from app.config import Config

if TYPE_CHECKING:
    from app.tracing import Tracing


def start_tracing(config: Config) -> "Tracing | None":
    """None where nobody asked for traces."""
    if not config.traces_enabled:
        return None
    from app.tracing import Tracing

    return Tracing(config)
