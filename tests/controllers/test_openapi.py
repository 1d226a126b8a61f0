"""The document says what the code does, and the page says what the document says."""

import re

import jsonschema_rs
import pytest

from app.controllers.openapi import ALIAS_TAG, METHODS
from app.security import PUBLIC
from app.web import BLUEPRINTS


@pytest.fixture
def database_kind():
    return "sqlite"  # nothing here depends on the database


@pytest.fixture
def document(client):
    return client.get("/api/openapi.json").get_json()


def operations(document):
    return [
        (path, method, item[method])
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    ]


def path_of(rule):
    return re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule)


def is_documented(rule):
    """Everything for programs; pages, files and the document itself are not operations."""
    blueprint = rule.endpoint.partition(".")[0]
    return blueprint not in {"static", "docs", *(pages.name for pages in BLUEPRINTS)}


def test_every_route_for_programs_is_documented(app, document):
    known = {(path, method.upper()) for path, method, _ in operations(document)}
    missing = [
        (path_of(rule), method)
        for rule in app.url_map.iter_rules()
        if is_documented(rule)
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if (path_of(rule), method) not in known
    ]
    assert missing == []


def test_nothing_is_documented_that_is_not_served(app, document):
    served = {
        (path_of(rule), method) for rule in app.url_map.iter_rules() for method in rule.methods
    }
    assert [
        (path, method)
        for path, method, _ in operations(document)
        if (path, method.upper()) not in served
    ] == []


def test_every_view_declares_who_may_call_it(app):
    naked = [
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if rule.endpoint != "static"
        and getattr(app.view_functions[rule.endpoint], "guard", None) is None
    ]
    assert naked == []


def test_the_document_says_of_each_operation_what_its_guard_says(app, document):
    for rule in app.url_map.iter_rules():
        guard = getattr(app.view_functions[rule.endpoint], "guard", PUBLIC)
        for method in METHODS:
            operation = document["paths"].get(path_of(rule), {}).get(method)
            if operation is None or method.upper() not in rule.methods:
                continue
            assert ({"bearer": []} in operation["security"]) >= guard.signed_in, rule.rule
            assert ("401" in operation["responses"]) >= guard.signed_in, rule.rule
            assert ("403" in operation["responses"]) >= bool(guard.roles), rule.rule


def test_operation_ids_are_unique(document):
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names))


def test_every_reference_leads_somewhere(document):
    def references(value):
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for part in value.values():
                yield from references(part)
        elif isinstance(value, list):
            for part in value:
                yield from references(part)

    for reference in set(references(document)):
        found = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def test_every_error_is_documented_as_a_problem(document):
    for path, method, operation in operations(document):
        for status, response in operation["responses"].items():
            if status == "default" or int(status) >= 400:
                assert response["$ref"].startswith("#/components/responses/Problem"), (path, method)
    for response in document["components"]["responses"].values():
        assert list(response["content"]) == ["application/problem+json"]
    assert "422" not in document["paths"]["/api/register"]["post"]["responses"]


def test_a_real_problem_fits_its_schema(client, document):
    problem = client.post("/api/orders", json={}).get_json()
    schema = {**document["components"]["schemas"]["Problem"], "components": document["components"]}
    jsonschema_rs.validator_for(schema).validate(problem)


def test_the_examples_of_bodies_fit_their_schemas(document):
    for path, _, operation in operations(document):
        media = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if media is None:
            continue
        schema = {**media["schema"], "components": document["components"]}
        assert jsonschema_rs.validator_for(schema).is_valid(media["example"]), path


def test_the_example_of_a_registration_registers_and_signs_in(client, document):
    def example(path):
        body = document["paths"][path]["post"]["requestBody"]
        return body["content"]["application/json"]["example"]

    assert client.post("/api/register", json=example("/api/register")).status_code == 201
    assert client.post("/api/login", json=example("/api/login")).status_code == 200


def test_the_aliases_say_the_same_under_another_tag(document):
    original = document["paths"]["/api/orders"]["post"]
    alias = document["paths"]["/orders"]["post"]
    assert alias["tags"] == [ALIAS_TAG]
    assert alias["requestBody"] == original["requestBody"]
    assert alias["responses"] == original["responses"]


def test_posts_that_run_once_take_a_key(document):
    key = {"$ref": "#/components/parameters/IdempotencyKey"}
    for path in ("/api/orders", "/orders", "/api/mpesa/stkpush"):
        assert key in document["paths"][path]["post"]["parameters"]
    assert key not in document["paths"]["/api/orders"]["get"].get("parameters", [])


def test_lists_share_their_parameters(document):
    for path in ("/api/items", "/api/orders", "/api/transactions"):
        references = [p.get("$ref", "") for p in document["paths"][path]["get"]["parameters"]]
        assert {"#/components/parameters/Limit", "#/components/parameters/Cursor"} <= set(
            references
        )


def test_no_query_parameter_may_be_null(document):
    for path, _, operation in operations(document):
        for parameter in operation.get("parameters", []):
            if parameter.get("in") == "query":
                assert "null" not in parameter["schema"].get("type", ""), path
                assert parameter["schema"].get("default", "") is not None, path


def test_the_version_is_3_1(document):
    assert document["openapi"] == "3.1.0"
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_the_document_and_the_page_may_be_kept(client):
    for path in ("/api/openapi.json", "/docs"):
        tag = client.get(path).headers["ETag"]
        response = client.get(path, headers={"If-None-Match": tag})
        assert (response.status_code, response.data) == (304, b"")


def test_the_page_shows_every_operation_with_a_line_to_paste(client, document):
    page = client.get("/docs").text
    for path, method, operation in operations(document):
        if ALIAS_TAG in operation["tags"] or path.startswith("/api/products") or method == "patch":
            continue
        assert f'<article id="{operation["operationId"]}">' in page
    assert page.count("<article") == page.count('aria-label="curl"')
    assert "curl -X POST https://shop.example/api/orders -H" in page


def test_the_page_is_light_and_takes_nothing_from_elsewhere(client):
    packed = client.get("/docs", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.data) < 16_000
    page = client.get("/docs")
    assert not re.search(rb'(?:src|href)="(?!/|#)', page.data)
