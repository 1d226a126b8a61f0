from app.web.pages import Pages

account = Pages("account", __name__, never_kept=True)
