"""The one handler: every HTTP error, and every crash as the 500 that Flask makes of it, is answered here.

It is registered for :exc:`HTTPException`, on the application. Not for codes: those would win over a blueprint's
handler for a class. Not for :exc:`Exception`: then neither Flask's log nor Sentry would hear of a crash.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from flask import Flask, Request, Response, current_app, request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException, InternalServerError

from .causes import meaning
from .pages import Pages
from .problems import problem
from .references import reference
from .spaces import Renderer, owner, prepare, spaces

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_CONTENT_HEADERS = ("content-type", "content-length")
_page = Pages("errors")


def init_app(app: Flask) -> None:
    """Answer the errors of this application.

    :param app: its ``config["NOT_FOUND_CACHE_CONTROL"]`` is the Cache-Control of a 404, ``no-store`` where it has none.
    :raises RuntimeError: an error page cannot be rendered.
    """
    app.extensions["errors"] = handle
    prepare(app, _page)
    for space in spaces(app):
        prepare(app, space.renderer)
    app.register_error_handler(HTTPException, handle)


def handle(error: HTTPException) -> HTTPException | Response:
    """The answer: status and headers of the error, body of who owns the URL."""
    if error.response is not None or error.code is None or not 400 <= error.code <= 599:
        return error
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # each look through a proxy costs
    asked: Request = request._get_current_object()  # type: ignore[attr-defined]
    renderer = owner(app, asked.path)
    if isinstance(error, InternalServerError) and error.original_exception is not None:
        return _crash(error, error.original_exception, partial(_answer, app, asked.environ), renderer)
    return _answer(app, asked.environ, error, renderer)


def _crash(
    error: InternalServerError, original: BaseException, answer: Callable[..., Response], renderer: Renderer | None
) -> Response:
    """Nobody answers if this fails, so what can be registered from outside has a last resort: it is ours."""
    try:
        return answer(meaning(original) or error, renderer)
    except Exception:
        current_app.logger.exception("A crash could not be answered as it should be")
        return answer(error, problem if renderer is problem else None)


def _answer(app: Flask, environ: "WSGIEnvironment", error: HTTPException, renderer: Renderer | None) -> Response:
    response = (renderer or _negotiated(environ))(error)
    if error.code and error.code != response.status_code:  # a renderer need not care
        response.status_code = error.code
    cache_control = app.config.get("NOT_FOUND_CACHE_CONTROL") if error.code == 404 else None
    _add_headers(response.headers, error.get_headers(environ), cache_control or "no-store", reference(environ))
    if not renderer:
        response.headers["Vary"] = ", ".join([*response.headers.getlist("Vary"), "Accept"])
    return response


def _negotiated(environ: "WSGIEnvironment") -> Renderer:
    """A problem for a client that prefers JSON, a page for everyone else (RFC 9110 section 12.5.1)."""
    if "json" not in environ.get("HTTP_ACCEPT", "").lower():
        return _page
    best = request.accept_mimetypes.best_match(["text/html", "application/json", "application/problem+json"])
    return problem if best and best.endswith("json") else _page


def _add_headers(headers: Headers, given: list[tuple[str, str]], cache_control: str, request_id: str) -> None:
    """The error's own headers, such as Allow or Retry-After, win over those that every error has."""
    own = [header for header in given if header[0].lower() not in _CONTENT_HEADERS]
    for name, _ in own:
        if name.lower() != "vary":  # the body depends on what the renderer says it does, too
            headers.remove(name)
    for name, value in own:
        headers.add(name, value)

    present = {name.lower() for name, _ in headers}
    for name, value in (
        ("Cache-Control", cache_control),
        ("X-Robots-Tag", "noindex"),
        ("X-Request-ID", request_id),
    ):
        if name.lower() not in present:
            headers.add(name, value)
