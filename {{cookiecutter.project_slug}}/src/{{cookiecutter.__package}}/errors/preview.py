"""``/_errors/``, in debug mode only: every error response as production sends it."""

from collections.abc import Callable
from functools import partial
from urllib.parse import urlencode

from flask import Blueprint, Response, abort, current_app, request
from jinja2 import ChoiceLoader
from werkzeug.exceptions import HTTPException, MethodNotAllowed, ServiceUnavailable, TooManyRequests, default_exceptions

from .classify import InsufficientStorage
from .pages import HTMLRenderer
from .prefixes import registered_prefixes, renderer_for
from .rendering import BUILTIN_LOADER, environment, policy
from .request_id import request_id

ERRORS: dict[str, Callable[[], HTTPException]] = {
    **{str(status): error_class for status, error_class in default_exceptions.items()},
    "405": partial(MethodNotAllowed, ["GET"]),
    "429": partial(TooManyRequests, retry_after=300),
    "503": partial(ServiceUnavailable, retry_after=300),
    "507": InsufficientStorage,
}
DARK_MODE = "(prefers-color-scheme: dark)"

bp = Blueprint("preview", __name__, url_prefix="/_errors")


@bp.get("/")
def index() -> Response:
    """Show one error: its page in light and dark mode, its headers, and its problem detail."""
    chosen = {"prefix": "", "status": "404", "language": "", **request.args.to_dict()}
    languages = _languages(chosen["prefix"])
    chosen["language"] = chosen["language"] or languages[0]
    responses = {each.mimetype: each for each in map(partial(_respond, chosen), ("text/html", "application/json"))}
    page = responses["text/html"].get_data(as_text=True) if "text/html" in responses else ""
    schemes = {"light": page.replace(DARK_MODE, "not all"), "dark": page.replace(DARK_MODE, "all")}
    prefixes = ["", *(each.prefix for each in registered_prefixes(current_app))]
    loader = ChoiceLoader([current_app.create_global_jinja_loader(), BUILTIN_LOADER])
    template = environment(loader).get_template("preview.html")
    html = template.render(
        responses=responses,
        chosen=chosen,
        choices={"prefix": prefixes, "status": sorted(ERRORS), "language": languages},
        link=lambda path="./", **changes: f"{path}?{urlencode({**chosen, **changes})}",
        schemes=schemes,
    )
    return Response(html, headers={"Content-Security-Policy": policy("".join([html, *schemes.values()]))})


@bp.get("/<status>")
def show(status: str) -> Response:
    """Send the error response itself."""
    return _respond({"prefix": "", "language": "", **request.args.to_dict(), "status": status}, "")


def _respond(chosen: dict[str, str], accept: str) -> Response:
    """Return the response to a request below this prefix."""
    error = ERRORS.get(chosen["status"]) or abort(404, "There is no such status.")
    headers = {"Accept": accept, "Accept-Language": chosen["language"], "X-Request-ID": request_id(request.environ)}
    with current_app.test_request_context(f"{chosen['prefix']}/", headers=headers):
        response: Response = current_app.extensions["errors"](error())
    return response


def _languages(prefix: str) -> tuple[str, ...]:
    renderer = renderer_for(current_app, f"{prefix}/") or HTMLRenderer("errors")
    return renderer.page_set(current_app).languages if isinstance(renderer, HTMLRenderer) else ("",)
