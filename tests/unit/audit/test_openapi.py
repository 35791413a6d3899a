"""The document that the gateway merges into its own."""

from __future__ import annotations

import base64

from services.audit.app import build
from services.kit.settings import load

KEY = base64.b64encode(b"k" * 32).decode()


def test_it_describes_the_public_routes_and_their_parameters() -> None:
    app = build(load({"MUSTER_KEYS__MASTER": f"m1:{KEY}", "MUSTER_KEYS__POSITIONS": KEY}))
    document = app.openapi()
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {"/v1/audit", "/v1/audit/count", "/v1/audit/{id}"}
    names = {each["name"] for each in document["paths"]["/v1/audit"]["get"]["parameters"]}
    assert names == {
        "actor", "target", "type", "outcome", "ip", "q", "since", "until", "min_position", "sort", "limit", "cursor",
    }  # fmt: skip
    answer = document["paths"]["/v1/audit"]["get"]["responses"]["200"]["content"]["application/json"]
    assert answer["schema"]["$ref"].endswith("AuditPage")
