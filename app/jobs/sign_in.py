"""Signing in and staying signed in: work of several transactions, because a password is hashed
between them and never inside one.
"""

from dataclasses import dataclass
from datetime import timedelta

import structlog

from app.errors import Unauthenticated
from app.jobs.work import Work
from app.models import LoginSession, User
from app.services.users import Credentials, find_account, open_session, rotate_session
from app.utils.address import subscriber_of
from app.utils.passwords import verify_password
from app.utils.token import Claims, new_opaque_id

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SignIn:
    """A user with a session, and the refresh token that is good for it now."""

    user: User
    session_id: str
    refresh_token_id: str


def sign_in(work: Work, credentials: Credentials, remote_addr: str | None) -> SignIn:
    """Open a new session, whatever the caller already holds.

    Raises Unauthenticated, with one answer and after the same work, for an unknown account, a
    wrong password and a suspended account: none of the three is told apart.
    """
    with work.database.reading() as session:
        account = find_account(session, credentials.by, credentials.key)
    stored_hash = account.password_hash if account else None
    method = work.config.password_hash_method
    proven = verify_password(stored_hash, credentials.password, method)
    opened = _open(work, account, subscriber_of(remote_addr)) if account and proven else None
    if account is None or opened is None:
        log.warning(
            "sign_in_refused", user_id=account.id if account else None, remote_addr=remote_addr
        )
        raise Unauthenticated("The name or the password is wrong.", code="wrong_credentials")
    log.info("signed_in", user_id=account.id, session_id=opened.id, remote_addr=remote_addr)
    return SignIn(account, opened.id, opened.refresh_jti)


def _open(work: Work, account: User, subscriber: str | None) -> LoginSession | None:
    now = work.now()
    opening = LoginSession(
        id=new_opaque_id(),
        refresh_jti=new_opaque_id(),
        remote_addr=subscriber,
        expires_at=now + _good_for(work),
    )
    with work.database.transaction() as session:
        return open_session(session, account, opening, now)


def renew_sign_in(work: Work, claims: Claims) -> SignIn:
    """Exchange a refresh token for its successor.

    Of two requests with one token exactly one is answered; the other shows that the token was
    copied, and ends the session. A client therefore renews one request at a time. Raises
    Unauthenticated.
    """
    token_id = new_opaque_id()
    with work.database.transaction() as session:
        user = rotate_session(
            session,
            claims.user_id,
            claims.session_id,
            old_token_id=claims.token_id,
            new_token_id=token_id,
            good_for=_good_for(work),
            now=work.now(),
        )
    if user is None:  # raised out here: the end of a session that was copied must be committed
        log.warning("refresh_refused", user_id=claims.user_id, session_id=claims.session_id)
        raise Unauthenticated(
            "This refresh token was used before, has expired or was revoked. Sign in again.",
            code="invalid_token",
        )
    return SignIn(user, claims.session_id, token_id)


def _good_for(work: Work) -> timedelta:
    return timedelta(seconds=work.config.refresh_token_seconds)
