"""Schemathesis reads the OpenAPI document and tries every operation, as each role.

Nothing may answer with a 5xx, with a status or a header that the document does not name, or with
a body of another shape. Whether a request that fits the document is taken is not asked: an order
for a product that is sold out fits it, and is refused.
"""

import os
from contextlib import suppress

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode, checks

from app.policies import Role
from tests.controllers.sign_in import new_caller

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "3"))
"""A hundred for each operation take half an hour, and are for a person who can wait."""
ROLES = (None, Role.CUSTOMER, Role.SELLER, Role.ADMIN)
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
OPERATIONS = 50
"""There are more than so many, or the document was not read."""


@pytest.fixture
def database_kind():
    return "sqlite"


@pytest.mark.parametrize("role", ROLES, ids=str)
def test_every_operation_answers_as_the_document_says(app, database, role):
    headers = new_caller(app, database, role)[1] if role else {}
    document = schemathesis.openapi.from_wsgi("/api/openapi.json", app)
    document = document.exclude(path_regex="^/(?!api/)")  # root addresses are the same views
    tried = 0
    for found in document.get_all_operations():
        _try(found.ok(), GenerationMode.POSITIVE, headers)
        if role is Role.ADMIN:  # who gets furthest
            with suppress(Unsatisfiable):  # nothing of this operation can be wrong
                _try(found.ok(), GenerationMode.NEGATIVE, headers)
        tried += 1
    assert tried > OPERATIONS


def _try(operation, mode, headers):
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def attempt(case):
        case.call_and_validate(headers=headers, checks=CHECKS)

    attempt()
