"""What is the visitor's own: profile, notifications, tasks."""

from app.web.account import notifications, profile, tasks
from app.web.account.blueprint import account

__all__ = ["account", "notifications", "profile", "tasks"]
