"""The shop in one process, so that a kill is a kill: `python -m tests.e2e.single_process_web`."""

import os

from werkzeug.serving import make_server

from app import create_app
from app.config import Config


def main() -> None:
    config = Config.from_environment(os.environ)
    make_server(config.host, config.port, create_app(config), threaded=True).serve_forever()


if __name__ == "__main__":
    main()
