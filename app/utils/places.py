"""How many requests a web process has room for, and of which kind."""

INTAKE_PLACES = 4
"""Reports of payments that are stored at a time; each has a database connection of its own."""

ASIDE_PLACES = 16
"""Requests that may wait for somebody outside without holding a place."""

_SPARE_THREADS = 4


def threads_for(places: int, queue: int) -> int:
    """How many threads a server needs, so that one is always free to send a request away."""
    return places + queue + ASIDE_PLACES + INTAKE_PLACES + _SPARE_THREADS
