"""``/_errors/``, in debug mode only: every error response as production sends it."""

from urllib.parse import urlencode

from flask import Blueprint, Response, abort, current_app, request

from .export import STATUSES, example
from .pages import HTMLRenderer
from .prefixes import registered_prefixes
from .rendering import environment, policy
from .request_id import request_id

DARK_MODE = "(prefers-color-scheme: dark)"

bp = Blueprint("preview", __name__, url_prefix="/_errors")


@bp.get("/")
def index() -> Response:
    """Show one error: its page in light and dark mode, its headers, and its problem detail."""
    languages = HTMLRenderer("errors").page_set(current_app).languages
    chosen = {"prefix": "", "status": "404", "language": languages[0], **request.args.to_dict()}
    responses = [_respond(chosen, accept) for accept in ("text/html", "application/json")]
    page = responses[0].get_data(as_text=True)
    schemes = {"light": page.replace(DARK_MODE, "not all"), "dark": page.replace(DARK_MODE, "all")}
    template = environment(current_app).get_template("preview.html")
    html = template.render(
        responses={response.mimetype: response for response in responses},
        chosen=chosen,
        choices={
            "prefix": ["", *(prefix for prefix, _ in registered_prefixes(current_app))],
            "status": [str(status) for status in STATUSES],
            "language": languages,
        },
        link=lambda path="./", **changes: f"{path}?{urlencode({**chosen, **changes})}",
        schemes=schemes,
    )
    return Response(html, headers={"Content-Security-Policy": policy("".join([html, *schemes.values()]))})


@bp.get("/<status>")
def show(status: str) -> Response:
    """Send the error response itself."""
    return _respond({"prefix": "", "language": "", **request.args.to_dict(), "status": status}, "")


def _respond(chosen: dict[str, str], accept: str) -> Response:
    if chosen["status"] not in map(str, STATUSES):
        abort(404, "There is no such status.")
    headers = {"Accept": accept, "Accept-Language": chosen["language"], "X-Request-ID": request_id(request.environ)}
    with current_app.test_request_context(f"{chosen['prefix']}/", headers=headers):
        response: Response = current_app.extensions["errors"](example(int(chosen["status"])))
    return response
