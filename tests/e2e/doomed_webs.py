"""Web servers that are to die, one process each: `python -m tests.e2e.doomed_webs POINT:PORT:URL …`

All are forked from one process that has loaded the shop, because loading is what takes time. Each
serves on its port, tells Safaricom that it is found at its URL, and dies by SIGKILL at its point.
What became of each is printed as "died POINT EXIT_CODE".
"""

import importlib
import os
import sys

from werkzeug.serving import make_server

from app.composition import compose
from app.config import Config
from app.utils import failpoints


def main() -> None:
    names = {}
    for specification in sys.argv[1:]:
        point, port, public_url = specification.split(":", 2)
        child = os.fork()
        if child == 0:
            serve(point, port, public_url)
        names[child] = point
    while names:
        child, status = os.wait()
        print("died", names.pop(child), os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 - the shop reads it


def serve(point: str, port: str, public_url: str) -> None:
    os.environ.update({failpoints.VARIABLE: point, "PORT": port, "PUBLIC_URL": public_url})
    importlib.reload(failpoints)  # it looks at its variable once, when it is loaded
    config = Config.from_environment(os.environ)
    make_server(config.host, config.port, compose(config, None), threaded=True).serve_forever()


if __name__ == "__main__":
    main()
