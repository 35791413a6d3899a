from __future__ import annotations

from services.gateway.documents import merge


def service(path: str, **schemas: object) -> dict[str, object]:
    item = {"get": {"responses": {"200": {"$ref": "#/components/schemas/Thing"}}}}
    return {"paths": {path: item, "/internal/x": {}}, "components": {"schemas": schemas}}


def test_parts_that_are_alike_are_shared() -> None:
    merged = merge(service("/v1/a", Thing={"type": "string"}), service("/v1/b", Thing={"type": "string"}))
    assert merged["components"]["schemas"] == {"Thing": {"type": "string"}}


def test_parts_that_differ_are_told_apart_and_references_follow() -> None:
    merged = merge(
        service("/v1/a", Thing={"a": 1}),
        service("/v1/b", Thing={"b": [{"$ref": "#/components/schemas/Thing"}]}),
    )
    assert merged["components"]["schemas"] == {
        "Thing": {"a": 1},
        "Thing2": {"b": [{"$ref": "#/components/schemas/Thing2"}]},
    }
    assert merged["paths"]["/v1/b"]["get"]["responses"]["200"] == {"$ref": "#/components/schemas/Thing2"}


def test_a_bearer_token_is_what_calls_need_unless_they_say_otherwise() -> None:
    merged = merge(service("/v1/a"), {})
    assert merged["security"] == [{"bearer": []}]
    assert merged["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert merged["paths"]["/problems/{code}"]["get"]["parameters"][0]["name"] == "code"
    assert "/internal/x" not in merged["paths"]
