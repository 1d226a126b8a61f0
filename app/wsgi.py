"""What the web server starts: ``granian --interface wsgi app.wsgi:application``."""

from app import create_app

application = create_app()
