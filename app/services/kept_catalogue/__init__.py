"""Answers made of the catalogue, kept in the process for as long as nothing in them has changed.

Whoever asks gets what the catalogue is at that moment, whichever process changed it last: each
time the database is asked first what was changed since, in one small statement. See
docs/decisions/0020-catalogue-version.md.
"""

from app.services.kept_catalogue.keeper import Kept, KeptCatalogue, KeptCounts

__all__ = ["Kept", "KeptCatalogue", "KeptCounts"]
