"""The whole shop, and beside its views those that it is measured against."""

from app import create_app
from bench.ceilings import register_ceilings

application = create_app()
register_ceilings(application)
