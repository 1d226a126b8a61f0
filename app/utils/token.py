"""Access and refresh tokens: the wiring of Flask-JWT-Extended, and what we believe of a token.

A token names a user and a sign-in, nothing else: the role, and whether both still stand, are
read from the database at each request. The library's own reading is replaced, because it takes a
token without ``exp``, calls one without ``type`` an access token, and asks the host's clock.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import jwt
from flask import Flask, current_app
from flask_jwt_extended import (
    JWTManager,
    create_access_token,
    create_refresh_token,
    decode_token,
)

ALGORITHM = "HS256"
ISSUER = "sokoni"
AUDIENCE = "sokoni-api"
LEEWAY_SECONDS = 10
LONGEST_TOKEN = 8192
REQUIRED_CLAIMS = ["exp", "iat", "nbf", "jti", "sub", "type", "sid", "aud", "iss"]

_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_USER_ID = re.compile(r"[1-9][0-9]{0,17}")
_OPAQUE_ID = re.compile(r"[0-9a-f]{32}")
_EXTENSION = "sokoni_token_clock"


class TokenKind(StrEnum):
    ACCESS = "access"
    REFRESH = "refresh"
    PAGE = "page"
    """Lives in a browser's cookie: the API takes none, and pages take no other."""


class BadToken(Exception):
    """Not a token that we made and that is good now; the message says why, for the log."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a good token says."""

    user_id: int
    session_id: str
    token_id: str
    kind: TokenKind


@dataclass(frozen=True, slots=True)
class TokenPair:
    access_token: str
    refresh_token: str
    expires_in_seconds: int


def new_opaque_id() -> str:
    """32 hexadecimal digits that nobody can guess: a session's name, or a token's."""
    return uuid4().hex


@lru_cache(maxsize=4096)
def _claims_signed(encoded: str, secret: str) -> Mapping[str, Any]:
    """What a token says that was signed with the secret. It says so for ever: the moments, and
    whether the sign-in still stands, are looked at each time. Raises what jwt.decode does.
    """
    claims: dict[str, Any] = jwt.decode(
        encoded,
        secret,
        algorithms=[ALGORITHM],
        audience=AUDIENCE,
        issuer=ISSUER,
        options={
            "require": REQUIRED_CLAIMS,
            "strict_aud": True,
            # The moments are held against our own clock, below.
            "verify_exp": False,
            "verify_nbf": False,
            "verify_iat": False,
        },
    )
    return MappingProxyType(claims)


class _Manager(JWTManager):
    """Reads tokens strictly: one algorithm, every claim there, our own audience and issuer."""

    def _decode_jwt_from_config(
        self,
        encoded_token: str,
        csrf_value: str | None = None,  # noqa: ARG002 - the library's signature
        allow_expired: bool = False,  # noqa: ARG002, FBT001, FBT002 - likewise
    ) -> dict[str, Any]:
        return dict(_claims_signed(encoded_token, current_app.config["JWT_SECRET_KEY"]))


def init_tokens(
    app: Flask,
    *,
    secret: str,
    access_seconds: int,
    refresh_seconds: int,
    clock: Callable[[], datetime],
) -> None:
    """Prepare an app to make and read tokens."""
    app.config.update(
        JWT_SECRET_KEY=secret,
        JWT_ALGORITHM=ALGORITHM,
        JWT_DECODE_ALGORITHMS=[ALGORITHM],
        JWT_TOKEN_LOCATION=["headers"],
        JWT_ENCODE_ISSUER=ISSUER,
        JWT_DECODE_ISSUER=ISSUER,
        JWT_ENCODE_AUDIENCE=AUDIENCE,
        JWT_DECODE_AUDIENCE=AUDIENCE,
        JWT_DECODE_LEEWAY=LEEWAY_SECONDS,
        JWT_ACCESS_TOKEN_EXPIRES=timedelta(seconds=access_seconds),
        JWT_REFRESH_TOKEN_EXPIRES=timedelta(seconds=refresh_seconds),
        JWT_COOKIE_CSRF_PROTECT=False,  # no token of ours travels in a cookie of the library's
    )
    _Manager(app)
    app.extensions[_EXTENSION] = clock


def make_tokens(user_id: int, session_id: str, refresh_token_id: str) -> TokenPair:
    """An access and a refresh token of one sign-in, good from now on."""
    access_for: timedelta = current_app.config["JWT_ACCESS_TOKEN_EXPIRES"]
    refresh_for: timedelta = current_app.config["JWT_REFRESH_TOKEN_EXPIRES"]
    subject = str(user_id)
    return TokenPair(
        access_token=create_access_token(
            subject, additional_claims=_claims(session_id, new_opaque_id(), access_for)
        ),
        refresh_token=create_refresh_token(
            subject, additional_claims=_claims(session_id, refresh_token_id, refresh_for)
        ),
        expires_in_seconds=int(access_for.total_seconds()),
    )


def page_cookie_name() -> str:
    """With TLS the name itself forbids that another host or an insecure page sets it."""
    return "__Host-sokoni" if current_app.config["SESSION_COOKIE_SECURE"] else "sokoni"


def make_page_token(user_id: int, session_id: str) -> str:
    """A token for the cookie of one sign-in, good as long as the sign-in itself."""
    good_for: timedelta = current_app.config["JWT_REFRESH_TOKEN_EXPIRES"]
    claims = {**_claims(session_id, new_opaque_id(), good_for), "type": TokenKind.PAGE.value}
    token: str = create_access_token(str(user_id), additional_claims=claims)
    return token


def read_token(encoded: str, kind: TokenKind) -> Claims:
    """What a token says. Raises BadToken unless we made it, for this use, and it is good now."""
    claims = _decode(encoded)
    if claims["type"] != kind.value:
        raise BadToken(f"Only a token of type {kind.value} is taken here.")
    _check_moments(claims)
    _check_names(claims)
    return Claims(
        user_id=int(claims["sub"]),
        session_id=claims["sid"],
        token_id=claims["jti"],
        kind=kind,
    )


def _decode(encoded: str) -> dict[str, Any]:
    if len(encoded) > LONGEST_TOKEN or not _SHAPE.fullmatch(encoded):
        raise BadToken("It does not look like a token.")
    try:
        claims: dict[str, Any] = decode_token(encoded)
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise BadToken(str(error)) from error
    return claims


def _claims(session_id: str, token_id: str, good_for: timedelta) -> dict[str, Any]:
    now = _now()
    return {
        "sid": session_id,
        "jti": token_id,
        "iat": int(now),
        "nbf": int(now),
        "exp": int(now + good_for.total_seconds()),
    }


def _now() -> float:
    clock: Callable[[], datetime] = current_app.extensions[_EXTENSION]
    return clock().timestamp()


def _check_moments(claims: dict[str, Any]) -> None:
    for name in ("exp", "iat", "nbf"):
        if type(claims[name]) is not int:
            raise BadToken(f"{name} is not a whole number of seconds.")
    now = _now()
    if claims["exp"] + LEEWAY_SECONDS <= now:
        raise BadToken("It has expired.")
    if max(claims["iat"], claims["nbf"]) - LEEWAY_SECONDS > now:
        raise BadToken("It is not good yet.")


def _check_names(claims: dict[str, Any]) -> None:
    for name, shape in (("sub", _USER_ID), ("sid", _OPAQUE_ID), ("jti", _OPAQUE_ID)):
        value = claims[name]
        if not isinstance(value, str) or not shape.fullmatch(value):
            raise BadToken(f"{name} is not one of ours.")
