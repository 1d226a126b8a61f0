"""Accounts and sign-ins."""

from app.services.users.accounts import (
    NewPassword,
    NewUser,
    ProfileChange,
    change_profile,
    check_new_password,
    find_user,
    register_user,
)
from app.services.users.administration import (
    UserChange,
    UserFilter,
    change_user,
    list_users,
    promote_user,
)
from app.services.users.overview import has_admin, list_usernames_at
from app.services.users.sessions import (
    Credentials,
    LoginField,
    SignedIn,
    end_session,
    end_sessions_of,
    find_account,
    find_signed_in,
    has_signed_in_from,
    open_session,
    rotate_session,
)

__all__ = [
    "Credentials",
    "LoginField",
    "NewPassword",
    "NewUser",
    "ProfileChange",
    "SignedIn",
    "UserChange",
    "UserFilter",
    "change_profile",
    "change_user",
    "check_new_password",
    "end_session",
    "end_sessions_of",
    "find_account",
    "find_signed_in",
    "find_user",
    "has_admin",
    "has_signed_in_from",
    "list_usernames_at",
    "list_users",
    "open_session",
    "promote_user",
    "register_user",
    "rotate_session",
]
