"""The shop's rows and pictures in one file, made while it runs, and a shop made of such a file."""

from app.backups.archive import BadBackup, opened_archive, signing_key
from app.backups.keep import prune_backups, remove_abandoned
from app.backups.make import NothingToKeep, make_backup, name_of_backup
from app.backups.manifest import Manifest
from app.backups.restore import Restored, RestoreRefused, Wish, is_empty, restore_backup
from app.backups.verify import verify_backup
from app.backups.workers import open_keeper, who_is_at_work

__all__ = [
    "BadBackup",
    "Manifest",
    "NothingToKeep",
    "RestoreRefused",
    "Restored",
    "Wish",
    "is_empty",
    "make_backup",
    "name_of_backup",
    "open_keeper",
    "opened_archive",
    "prune_backups",
    "remove_abandoned",
    "restore_backup",
    "signing_key",
    "verify_backup",
    "who_is_at_work",
]
