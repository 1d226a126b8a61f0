"""The whole shop, and beside its views those that it is measured against."""

from app import create_app
from app.config import Config
from bench.ceilings import register_ceilings
from bench.ceilings.bare import beside

application = create_app(config := Config.load())
register_ceilings(application)
application.wsgi_app = beside(  # type: ignore[method-assign] # as middleware is put around an app
    application.wsgi_app, config.database_url, config.web_threads
)
