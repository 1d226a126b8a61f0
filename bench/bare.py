"""Flask alone: views that send the shop's bytes from constants, and nothing around them.

No gate, no hooks, no log: what the same server does at best with the same number of processes and
threads. ANSWERS names the file in which the bench has put what the shop answered.
"""

import base64
import json
import os
from pathlib import Path

from flask import Flask, Response, request

application = Flask("bare", static_folder=None)
_kept = json.loads(Path(os.environ["ANSWERS"]).read_text("ascii"))
_answers = {
    address: (base64.b64decode(body), status, headers)
    for address, (body, status, headers) in _kept.items()
}


@application.get("/")
@application.get("/<path:_address>")
def constant(_address: str = "") -> Response:
    return Response(*_answers[request.full_path.rstrip("?")])
