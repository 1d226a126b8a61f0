"""Accounts and sign-ins on the wire."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import marshmallow as ma
from marshmallow import validate

from app.policies import Role
from app.schemas.base import (
    ListQuery,
    Phone,
    PlainText,
    QueryBoolean,
    Schema,
    StrictBoolean,
    Timestamp,
    take_page,
)
from app.services.pages import PageRequest
from app.services.users import (
    Credentials,
    LoginField,
    NewUser,
    ProfileChange,
    UserChange,
    UserFilter,
)
from app.utils.identity import (
    LONGEST_EMAIL,
    LONGEST_USERNAME,
    SHORTEST_USERNAME,
    clean_email,
    clean_username,
)
from app.utils.passwords import (
    LONGEST_PASSWORD,
    LONGEST_PASSWORD_BYTES,
    SHORTEST_PASSWORD,
)

_ROLES = [role.value for role in Role]
_USERNAME_EXAMPLE = "amina.k"
_EMAIL_EXAMPLE = "amina@example.co.ke"
_PHONE_EXAMPLE = "254712345678"


class _Cleaned(PlainText):
    """Text that ``clean`` brings into its one spelling, or refuses with a ValueError."""

    clean: Callable[[str], str]

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            return type(self).clean(text)
        except ValueError as error:
            raise ma.ValidationError(str(error)) from None


class Username(_Cleaned):
    clean = staticmethod(clean_username)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            max=LONGEST_USERNAME,
            min=SHORTEST_USERNAME,
            metadata={
                "description": "Latin letters, digits, dots, hyphens and underscores, at least one"
                " letter. Two names that differ in case alone are the same.",
                "example": _USERNAME_EXAMPLE,
            },
            **kwargs,
        )


class EmailAddress(_Cleaned):
    clean = staticmethod(clean_email)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            max=LONGEST_EMAIL,
            metadata={"format": "email", "example": _EMAIL_EXAMPLE},
            **kwargs,
        )


class Password(ma.fields.String):
    """Any characters that can be typed, kept as they are: nothing is trimmed or cut off."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        "invalid": "Must be text.",
        "characters": "Holds a character that cannot be typed.",
        "bytes": f"Must have at most {LONGEST_PASSWORD_BYTES} bytes.",
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:  # noqa: ARG002 - marshmallow's signature
        if not isinstance(value, str):
            raise self.make_error("invalid", input=value)
        # Before anything looks at each character: a megabyte is refused for its size alone.
        if len(value) > LONGEST_PASSWORD_BYTES:
            raise self.make_error("bytes")
        if any(unicodedata.category(character) in {"Cc", "Cs"} for character in value):
            raise self.make_error("characters")
        if len(value.encode()) > LONGEST_PASSWORD_BYTES:
            raise self.make_error("bytes")
        return value


def _new_password(**kwargs: Any) -> Password:
    return Password(
        load_only=True,
        metadata={
            "format": "password",
            "minLength": SHORTEST_PASSWORD,
            "maxLength": LONGEST_PASSWORD,
            "description": "Any characters; not one of the passwords that everybody tries first,"
            " and not your own username or e-mail address.",
            "example": "mvua ya masika 7",
        },
        **kwargs,
    )


def _phone(**kwargs: Any) -> Phone:
    return Phone(
        metadata={"description": "A Kenyan mobile number.", "example": _PHONE_EXAMPLE}, **kwargs
    )


class RegistrationSchema(Schema):
    """A new account; its role is always that of a customer."""

    username = Username(required=True)
    email = EmailAddress(required=True)
    password = _new_password(required=True)
    phone_number = _phone(load_default=None, allow_none=True)

    @ma.post_load
    def _command(self, data: dict[str, Any], **_kwargs: Any) -> NewUser:
        return NewUser(**data)


class CredentialsSchema(Schema):
    """Exactly one of username, email and phone_number, and the password."""

    username = PlainText(max=LONGEST_EMAIL, metadata={"example": _USERNAME_EXAMPLE})
    email = PlainText(max=LONGEST_EMAIL, metadata={"format": "email"})
    phone_number = Phone()
    password = Password(
        required=True, metadata={"format": "password", "example": "mvua ya masika 7"}
    )

    @ma.validates_schema(skip_on_field_errors=True)
    def _one_name(self, data: dict[str, Any], **_kwargs: Any) -> None:
        if sum(field in data for field in LoginField) != 1:
            raise ma.ValidationError(
                "Send exactly one of username, email and phone_number.", "username"
            )

    @ma.post_load
    def _command(self, data: dict[str, Any], **_kwargs: Any) -> Credentials:
        by = next(field for field in LoginField if field in data)
        return Credentials(by=by, name=data[by], password=data["password"])


class LogoutQuery(Schema):
    all = QueryBoolean(
        load_default=False, metadata={"description": "End every session of the user."}
    )


class ProfileChangeSchema(Schema):
    """Only the fields that are named change."""

    username = Username()
    email = EmailAddress()
    phone_number = _phone(allow_none=True)
    password = _new_password()
    current_password = Password(
        load_only=True,
        metadata={
            "format": "password",
            "description": "Needed with a new password.",
            "example": "Correct horse 12",
        },
    )

    @ma.validates_schema(skip_on_field_errors=True)
    def _both_passwords(self, data: dict[str, Any], **_kwargs: Any) -> None:
        if "password" in data and "current_password" not in data:
            raise ma.ValidationError("Send your current password too.", "current_password")
        if "current_password" in data and "password" not in data:
            raise ma.ValidationError("Send the new password too.", "password")

    @ma.post_load
    def _command(self, data: dict[str, Any], **_kwargs: Any) -> ProfileChange:
        return ProfileChange(**data)


class PublicUserSchema(Schema):
    """What everybody may see of a user."""

    id = ma.fields.Integer(metadata={"example": 1})
    username = ma.fields.String(metadata={"example": _USERNAME_EXAMPLE})
    picture_url = ma.fields.String(allow_none=True)
    created_at = Timestamp(metadata={"format": "date-time"})


class UserSchema(Schema):
    """A user as they and admins see them."""

    id = ma.fields.Integer(metadata={"example": 1})
    username = ma.fields.String(metadata={"example": _USERNAME_EXAMPLE})
    email = ma.fields.String(metadata={"format": "email", "example": _EMAIL_EXAMPLE})
    phone_number = ma.fields.String(allow_none=True, metadata={"example": _PHONE_EXAMPLE})
    role = ma.fields.String(validate=validate.OneOf(_ROLES))
    picture_url = ma.fields.String(allow_none=True)
    created_at = Timestamp(metadata={"format": "date-time"})


class TokensSchema(Schema):
    """What to send with the next requests, and for how many seconds the first of them is good."""

    access_token = ma.fields.String(required=True)
    refresh_token = ma.fields.String(required=True)
    token_type = ma.fields.String(required=True, validate=validate.OneOf(["Bearer"]))
    expires_in = ma.fields.Integer(required=True, metadata={"example": 900})
    user = ma.fields.Nested(UserSchema, required=True)


@dataclass(frozen=True, slots=True)
class WantedUsers:
    filter: UserFilter
    page: PageRequest


class UserQuery(ListQuery):
    q = PlainText(
        min=2,
        max=100,
        load_default=None,
        metadata={"description": "Part of a username or e-mail address, or a phone number."},
    )
    role = ma.fields.String(load_default=None, validate=validate.OneOf(_ROLES))
    suspended = QueryBoolean(load_default=None)

    @ma.post_load
    def _query(self, data: dict[str, Any], **_kwargs: Any) -> WantedUsers:
        page = take_page(data)
        role = Role(data["role"]) if data["role"] else None
        return WantedUsers(
            UserFilter(search=data["q"], role=role, suspended=data["suspended"]), page
        )


class UserChangeSchema(Schema):
    """What an admin decides of an account; only the fields that are named change."""

    role = ma.fields.String(validate=validate.OneOf(_ROLES))
    suspended = StrictBoolean(
        metadata={"description": "A suspended user is signed out everywhere and cannot sign in."}
    )

    @ma.post_load
    def _command(self, data: dict[str, Any], **_kwargs: Any) -> UserChange:
        role = Role(data["role"]) if "role" in data else None
        return UserChange(role=role, suspended=data.get("suspended"))
