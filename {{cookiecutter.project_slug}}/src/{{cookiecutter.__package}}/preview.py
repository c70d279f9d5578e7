"""``/_errors/``, in debug mode alone: what is answered to every error, exactly as production would send it."""

from collections.abc import Callable
from functools import partial
from urllib.parse import urlencode

from flask import Blueprint, Flask, Response, abort, current_app, request
from jinja2 import ChoiceLoader
from werkzeug.exceptions import HTTPException, MethodNotAllowed, ServiceUnavailable, TooManyRequests, default_exceptions

from .errors import InsufficientStorage, Pages, reference
from .errors.rendering import OURS, environment, policy
from .errors.spaces import owner, spaces

_ERRORS: dict[str, Callable[[], HTTPException]] = {
    **{str(status): kind for status, kind in default_exceptions.items()},
    "405": partial(MethodNotAllowed, ["GET"]),
    "429": partial(TooManyRequests, retry_after=300),
    "503": partial(ServiceUnavailable, retry_after=300),
    "507": InsufficientStorage,
}
_DARK = "(prefers-color-scheme: dark)"

bp = Blueprint("preview", __name__, url_prefix="/_errors")


def init_app(app: Flask) -> None:
    if app.debug:
        app.register_blueprint(bp)


@bp.get("/")
def index() -> Response:
    """An answer: its page, light and dark side by side, its headers, and the problem that programs get."""
    chosen = {"space": "", "status": "404", "language": "", **request.args.to_dict()}
    languages = _languages(chosen["space"])
    chosen["language"] = chosen["language"] or languages[0]
    answers = {answer.mimetype: answer for answer in map(partial(_answer, chosen), ("text/html", "application/json"))}
    page = answers["text/html"].get_data(as_text=True) if "text/html" in answers else ""
    schemes = {"light": page.replace(_DARK, "not all"), "dark": page.replace(_DARK, "all")}
    html = (
        environment(ChoiceLoader([current_app.create_global_jinja_loader(), OURS]))
        .get_template("preview.html")
        .render(
            answers=answers,
            chosen=chosen,
            choices={
                "space": ["", *(space.prefix for space in spaces(current_app))],
                "status": sorted(_ERRORS),
                "language": languages,
            },
            link=lambda path="./", **changes: f"{path}?{urlencode({**chosen, **changes})}",
            schemes=schemes,
        )
    )
    return Response(html, headers={"Content-Security-Policy": policy("".join([html, *schemes.values()]))})


@bp.get("/<status>")
def show(status: str) -> Response:
    """The answer itself."""
    return _answer({"space": "", "language": "", **request.args.to_dict(), "status": status}, "")


def _answer(chosen: dict[str, str], accept: str) -> Response:
    """What a request to this space would be answered."""
    error = _ERRORS.get(chosen["status"]) or abort(404, "There is no such status.")
    headers = {"Accept": accept, "Accept-Language": chosen["language"], "X-Request-ID": reference(request.environ)}
    with current_app.test_request_context(f"{chosen['space']}/", headers=headers):
        answer: Response = current_app.extensions["errors"](error())
    return answer


def _languages(space: str) -> tuple[str, ...]:
    renderer = owner(current_app, f"{space}/") or Pages("errors")
    return renderer.edition(current_app).languages if isinstance(renderer, Pages) else ("",)
