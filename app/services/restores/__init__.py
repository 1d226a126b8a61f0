"""A shop that was restored from a backup: what it must not do again, and until when."""

from app.services.restores.precautions import (
    Precautions,
    record_restore,
    restored_from,
    take_precautions,
)
from app.services.restores.release import (
    Forgotten,
    find_forgotten,
    held_restores,
    release_refunds,
)

__all__ = [
    "Forgotten",
    "Precautions",
    "find_forgotten",
    "held_restores",
    "record_restore",
    "release_refunds",
    "restored_from",
    "take_precautions",
]
