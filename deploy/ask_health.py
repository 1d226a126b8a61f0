"""Exit code 0 if the shop in this container is alive: it is asked by the name it is known under."""

import http.client
import os
import sys
from urllib.parse import urlsplit

port = int(os.environ.get("PORT", "5000"))
host = urlsplit(os.environ.get("PUBLIC_URL", "")).netloc or f"127.0.0.1:{port}"
connection = http.client.HTTPConnection("127.0.0.1", port, timeout=4)
try:
    connection.request("GET", "/healthz", headers={"Host": host})
    sys.exit(connection.getresponse().status != http.client.OK)
except OSError:
    sys.exit(1)
