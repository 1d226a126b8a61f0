"""Every sentence that a page can show: what its translations are checked against.

Templates and pages name theirs with ``_("…")``, ``ngettext``, ``gettext`` and ``mark``. Below the
pages nobody speaks of languages: refusals, messages for payers and the words of fields are found
where they are written.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import marshmallow as ma
from jinja2 import Environment, nodes

from app.web.language import take_numbers_out

APP = Path(__file__).parents[2] / "app"
TEMPLATES = APP / "web" / "templates"
ENGLISH_ALONE = {"docs.html", "docs_layout.html"}
"""The pages for developers."""

Message = str | tuple[str, str]

_FUNCTIONS = {"gettext", "mark", "_"}
_REFUSALS = {
    "BadGateway",
    "Conflict",
    "Forbidden",
    "InvalidInput",
    "NotFound",
    "PreconditionFailed",
    "TooLarge",
    "TooManyRequests",
    "Unauthenticated",
    "Unavailable",
    "UnsupportedMedia",
    "ValidationError",
    "ValueError",
}
_SPEAKING = [
    "errors.py",
    "error_handlers.py",
    "sign_in_limits.py",
    "integrations/mpesa/result_codes.py",
    "integrations/mpesa/errors.py",
    "integrations/mpesa/refusals.py",
    "integrations/webhooks/sender.py",
    "jobs/accounts.py",
    "jobs/import_products.py",
    "jobs/import_statement.py",
    "jobs/pictures.py",
    "jobs/sign_in.py",
    "services/adjust_stock.py",
    "services/basket/changes.py",
    "services/basket/check_out.py",
    "services/catalogue_csv/categories.py",
    "services/catalogue_csv/cells.py",
    "services/catalogue_csv/layouts.py",
    "services/catalogue_csv/lines.py",
    "services/catalogue_csv/match_rows.py",
    "services/catalogue_csv/rows.py",
    "services/catalogue_csv/save_rows.py",
    "services/catalogue_csv/shopify.py",
    "services/catalogue_csv/woocommerce.py",
    "services/categories.py",
    "services/change_tasks.py",
    "services/claims/file.py",
    "services/claims/said.py",
    "services/comments.py",
    "services/correct_money.py",
    "services/create_product.py",
    "services/due_payments.py",
    "services/end_order.py",
    "services/exceptions/known_receipts.py",
    "services/exceptions/messages.py",
    "services/exceptions/payments.py",
    "services/exceptions/take_up.py",
    "services/exceptions/unmatched.py",
    "services/find_product.py",
    "services/hold_for_review.py",
    "services/move_order.py",
    "services/notifications.py",
    "services/own_orders.py",
    "services/pages.py",
    "services/pictures.py",
    "services/place_order.py",
    "services/read_orders.py",
    "services/read_payments.py",
    "services/record_push.py",
    "services/refunds/choose_kind.py",
    "services/refunds/decide_refund.py",
    "services/refunds/move_refund.py",
    "services/refunds/plan_refund.py",
    "services/refunds/record_by_hand.py",
    "services/request_payment.py",
    "services/restores/release.py",
    "services/search/cursors.py",
    "services/settle_payment.py",
    "services/shop_orders.py",
    "services/shop_products.py",
    "services/statements/columns.py",
    "services/statements/file.py",
    "services/statements/whose.py",
    "services/stock_counts.py",
    "services/tasks.py",
    "services/unmatched_money.py",
    "services/users/accounts.py",
    "services/users/administration.py",
    "services/webhooks/deliveries.py",
    "services/webhooks/endpoints.py",
    "services/webhooks/replay.py",
    "utils/identity.py",
    "utils/passwords.py",
    "utils/phone.py",
    "utils/web_address.py",
]
"""Modules whose sentences reach a page through a variable."""

_WITH_FIELDS = ["schemas", "web"]
"""Where fields say what is wrong with what was sent."""

_MESSAGES_OF_FIELDS = {"default_error_messages", "error_messages"}

_WITH_WORDS = {
    "Another account has this e-mail address.",
    "Another account has this phone number.",
    "Another account has this username.",
    "Another account has this e-mail address. Use another, or sign in.",
    "Another account has this phone number. Use another, or sign in.",
    "Another account has this username. Use another, or sign in.",
}
"""Sentences that are put together from a few words."""

_SENTENCE = re.compile(r"[A-Z][^\n]* [^\n]*[.!?]")
_NOT_SHOWN = re.compile(
    r"GET /|JSON object|refresh token|access_token|Bearer|Idempotency|ASCII|RFC 3339"
    r"|A path has at least|must be cleaned before|Result code 0|No access token"
    r"|Send exactly one of|2026-11-22T|M-Pesa says|M-Pesa said"
)
"""For programs, for logs, or for whoever broke our own code."""

_NUMERIC = {
    "available",
    "reserved",
    "on_hand",
    "per_day",
    "open_orders",
    "max_amount_shillings",
    "minimum",
    "maximum",
    "min",
    "max",
}


def sentences_of_pages() -> set[Message]:
    below = _of_modules_below() | _of_fields() | _WITH_WORDS | _of_marshmallow()
    return _of_templates() | _of_pages() | {one for one in below if not _NOT_SHOWN.search(one)}


def _of_templates() -> set[Message]:
    found: set[Message] = set()
    environment = template_environment()
    for _, text in templates():
        for _, function, message in environment.extract_translations(text):
            if function == "ngettext":
                found.add((message[0], message[1]))
            elif message := message[0] if isinstance(message, tuple) else message:
                found.add(message)
    return found


def template_environment() -> Environment:
    environment = Environment(
        extensions=["jinja2.ext.i18n"], trim_blocks=True, lstrip_blocks=True, autoescape=True
    )
    environment.newstyle_gettext = True
    return environment


def templates() -> Iterator[tuple[str, str]]:
    for path in sorted(TEMPLATES.rglob("*.html")):
        if path.name not in ENGLISH_ALONE:
            yield str(path.relative_to(TEMPLATES)), path.read_text()


def formatted_variables() -> list[str]:
    """Calls of ``_`` that put values into a message which is no literal."""
    found = []
    environment = template_environment()
    for name, text in templates():
        for call in environment.parse(text).find_all(nodes.Call):
            named = isinstance(call.node, nodes.Name) and call.node.name == "_"
            if named and call.kwargs and not isinstance(call.args[0], nodes.Const):
                found.append(f"{name}:{call.lineno}")
    return found


def _of_pages() -> set[Message]:
    found: set[Message] = set()
    for path in sorted((APP / "web").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = _name(node.func)
            if name in _FUNCTIONS:
                found |= _written(node.args[0])
            elif name == "ngettext":
                first, second = (one.value for one in node.args[:2])
                found.add((first, second))
            elif name in _REFUSALS | {"field"}:
                found |= _said_by(node)
    return found


def _of_fields() -> set[str]:
    found = set()
    for path in [path for folder in _WITH_FIELDS for path in (APP / folder).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "error":
                found |= _written(node.value)
            elif isinstance(node, ast.keyword) and node.arg in _MESSAGES_OF_FIELDS:
                texts = node.value.values if isinstance(node.value, ast.Dict) else []
                found |= {one for text in texts for one in _written(text)}
            elif isinstance(node, ast.Call) and _name(node.func) == "ValidationError":
                found |= _said_by(node)
            elif isinstance(node, ast.Assign) and _name(node.targets[0]) in _MESSAGES_OF_FIELDS:
                found |= {one for text in node.value.values for one in _written(text)}
    return found


def _of_modules_below() -> set[str]:
    found: set[str] = set()
    for name in _SPEAKING:
        tree = ast.parse((APP / name).read_text())
        _forget_docstrings_and_logs(tree)
        parts = {id(part) for node in ast.walk(tree) for part in _parts_of(node)}
        for node in ast.walk(tree):
            if id(node) not in parts:
                found |= {one for one in _written(node) if _SENTENCE.fullmatch(one)}
    tree = ast.parse((APP / "errors.py").read_text() + (APP / "error_handlers.py").read_text())
    found |= _titles(tree)
    return found


def _titles(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and _name(node.targets[0]) == "title":
            found |= _written(node.value)
        if isinstance(node, ast.AnnAssign) and _name(node.target) == "_FRAMEWORK":
            for row in node.value.values:
                found |= _written(row.elts[0])
    return found


def _forget_docstrings_and_logs(tree: ast.Module) -> None:
    """What is written for readers of the code, of the documentation or of a log."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value = ast.Constant(None)
        if isinstance(node, ast.keyword) and node.arg in {"metadata", "description", "body"}:
            node.value = ast.Constant(None)


def _parts_of(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.JoinedStr):
        yield from (part for part in ast.walk(node) if part is not node)


def _said_by(call: ast.Call) -> set[str]:
    """The sentence of a refusal: its first argument, or the second of ``InvalidInput.field``."""
    if _name(call.func) == "field" and _name(getattr(call.func, "value", None)) == "InvalidInput":
        return _written(call.args[1])
    return _written(call.args[0]) if _name(call.func) in _REFUSALS and call.args else set()


def _written(node: ast.AST) -> set[str]:
    """A literal as it stands; one with numbers put into it, as the pages look it up."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = node.value
        if re.search(r"\{\w+\}", text):
            return {take_numbers_out(re.sub(r"\{\w+\}", "0", text))[0]}
        return {text}
    if isinstance(node, ast.JoinedStr):
        values = [part.value for part in node.values if isinstance(part, ast.FormattedValue)]
        if all(map(_is_number, values)):
            parts = [part.value if isinstance(part, ast.Constant) else "0" for part in node.values]
            return {take_numbers_out("".join(parts))[0]}
    return set()


def _is_number(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        return _name(node.func) in {"len", "field_size_limit"}
    if isinstance(node, ast.Name) and node.id in {"number", "row", "before"}:
        return True
    return isinstance(node, ast.BinOp) or _name(node) in _NUMERIC or (_name(node) or "").isupper()


def _name(node: ast.AST | None) -> str | None:
    return getattr(node, "id", None) or getattr(node, "attr", None)


def _of_marshmallow() -> set[str]:
    said = ma.fields.Field.default_error_messages
    return {said["required"], said["null"]}
