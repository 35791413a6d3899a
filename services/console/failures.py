"""What went wrong, as a page or, within one, as a message where the person looks."""

from __future__ import annotations

from starlette.responses import Response

from services.console import texts
from services.console.csrf import Forged
from services.console.forms import BadForm
from services.console.gateway_client import Json, Problem
from services.console.visit import Visit

STALE_FORM = (
    "This page is from an earlier session or from another site. Load it again, then repeat what you did."
)
MESSAGES = "#messages"
LASTING = (400, 403, 404, 405)
"""Asked again, it would be answered so again."""

_TITLES = {
    400: "This cannot be shown",
    403: "You may not see this page",
    404: "There is nothing here",
    429: "Too many requests",
    503: "Not available now",
}


def document_of(error: Exception) -> Json:
    """The problem behind an error, in the form in which the API tells its own."""
    match error:
        case Problem():
            return {"status": error.status} | error.document
        case Forged():
            return {"status": 403, "code": "form_refused", "detail": STALE_FORM}
        case BadForm():
            return {"status": 400, "code": "invalid_request", "detail": "This is no form of a page of ours."}
        case _:
            detail = "Muster does not answer now. Nothing is lost; try again in a moment."
            return {"status": 503, "code": "away", "detail": detail}


def failure(visit: Visit, error: Exception) -> Response:
    """Tell it; a fragment's failure goes to the messages of the page, which stays as it is."""
    document = document_of(error)
    told = texts.refusal(document)
    if visit.is_fragment:
        headers = {"HX-Retarget": MESSAGES, "HX-Reswap": "innerHTML"}
        return visit.fragment("message.html", headers, refusal=told)
    status = int(document["status"])
    title = _TITLES.get(status, "Something went wrong")
    can_repeat = status not in LASTING
    return visit.page("problem.html", status, title=title, refusal=told, can_repeat=can_repeat)
