"""`python -m bench.server`: what `manage.py web` starts, with the views that are ceilings."""

from app.cli.web import serve
from app.config import Config

if __name__ == "__main__":
    serve(Config.load(), "bench.wsgi:application")
