"""What a path may hold."""

from werkzeug.routing import IntegerConverter, Map


class IdConverter(IntegerConverter):
    """The id of a row: ASCII digits, of a size that a database holds; anything else is a 404."""

    regex = r"[1-9][0-9]{0,18}"

    def __init__(self, url_map: Map) -> None:
        super().__init__(url_map, min=1, max=2**63 - 1)
