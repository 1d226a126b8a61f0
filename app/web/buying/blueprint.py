from app.web.pages import Pages

buying = Pages("buying", __name__, never_kept=True)
