"""What is the visitor's own: profile, orders, notifications, tasks."""

from app.web.pages import Pages

account = Pages("account", __name__, never_kept=True)
