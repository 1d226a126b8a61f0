"""Accounts where a password is involved: it is checked and hashed before the transaction."""

import structlog

from app.errors import InvalidInput
from app.jobs.work import Work
from app.models import User
from app.policies import Role
from app.services.users import (
    NewPassword,
    NewUser,
    ProfileChange,
    SignedIn,
    change_profile,
    check_new_password,
    find_user,
    register_user,
)
from app.utils.passwords import hash_password, verify_password

log = structlog.get_logger(__name__)


def create_user(work: Work, new: NewUser, role: Role = Role.CUSTOMER) -> User:
    """Make an account. The hash is made before anybody looks whether a name is taken, so the time
    tells nothing. Raises InvalidInput for a weak password, Conflict for a taken name.
    """
    check_new_password(new.password, new.username, new.email)
    password_hash = hash_password(new.password, work.config.password_hash_method)
    with work.database.transaction() as session:
        user = register_user(session, new, password_hash, role, work.now())
    log.info("user_registered", user_id=user.id, role=user.role)
    return user


def update_profile(work: Work, signed_in: SignedIn, change: ProfileChange) -> User:
    """Change the caller's own account.

    Raises InvalidInput for a wrong current password or a weak new one, Conflict for a taken name.
    """
    password = _proven_password(work, signed_in, change) if change.password else None
    with work.database.transaction() as session:
        user = change_profile(session, signed_in, change, password, work.now())
    log.info("profile_changed", user_id=user.id, signed_out_elsewhere=password is not None)
    return user


def _proven_password(work: Work, signed_in: SignedIn, change: ProfileChange) -> NewPassword:
    with work.database.reading() as session:
        user = find_user(session, signed_in.actor.user_id)
    method = work.config.password_hash_method
    new, current = change.password or "", change.current_password or ""
    if not verify_password(user.password_hash, current, method):
        log.warning("wrong_current_password", user_id=user.id)
        # Not a 401: the token is good, and a client that signs in again would gain nothing.
        raise InvalidInput.field(
            "current_password", "This is not your current password.", code="wrong_password"
        )
    check_new_password(new, change.username or user.username, change.email or user.email)
    return NewPassword(hash=hash_password(new, method), proven_hash=user.password_hash)
