"""The office: what sellers and admins see and do."""

from app.web.pages import Pages

office = Pages("office", __name__, never_kept=True)
