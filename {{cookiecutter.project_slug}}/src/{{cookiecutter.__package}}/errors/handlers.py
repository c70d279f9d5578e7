"""The application's error handler, for HTTP errors and for unhandled exceptions (as ``InternalServerError``).

A handler for status codes would override a blueprint's handlers for classes. With a handler for ``Exception``, Flask
would neither log unhandled exceptions nor send the signal that Sentry uses.
"""

from collections.abc import Mapping

from flask import Flask, Response, current_app, request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException, InternalServerError

from . import export, preview
from .classify import classify
from .pages import HTMLRenderer
from .prefixes import Renderer, add_prefix, prepare, registered_prefixes, renderer_for
from .problems import render_problem
from .request_id import request_id

_CONTENT_HEADERS = ("content-type", "content-length")
_MEDIA_TYPES = ("text/html", "application/json", "application/problem+json")
_render_page = HTMLRenderer("errors")


def init_app(app: Flask, renderers: Mapping[str, Renderer] | None = None) -> None:
    """Handle the errors of an application. Call it last, when all blueprints are registered.

    :param renderers: renderers for URL prefixes without a blueprint, such as ``{"/v1": errors.render_problem}``.
    :param app: ``app.config["NOT_FOUND_CACHE_CONTROL"]`` is the ``Cache-Control`` of a 404, ``no-store`` by default.
    :raises RuntimeError: if an error page cannot be rendered.
    """
    for prefix, renderer in (renderers or {}).items():
        add_prefix(app, prefix, renderer)
    app.extensions["errors"] = handle
    _render_page.init_app(app)
    for _, renderer in registered_prefixes(app):
        prepare(app, renderer)
    app.register_error_handler(HTTPException, handle)
    app.cli.add_command(export.cli)
    if app.debug:
        app.register_blueprint(preview.bp)


def handle(error: HTTPException) -> HTTPException | Response:
    """Return the response for an error. The renderer registered for the URL prefix provides the body."""
    if error.response is not None or error.code is None or not 400 <= error.code <= 599:
        return error  # a redirect, or abort(response)
    renderer = renderer_for(current_app, request.path) or _render_page
    if not isinstance(error, InternalServerError) or error.original_exception is None:
        return _respond(error, renderer)
    try:
        return _respond(classify(error.original_exception) or error, renderer)
    except Exception:
        # Fall back to a generic 500 response if classifying or rendering the exception fails.
        current_app.logger.exception("Error handler failed; sent a generic 500 response")
        return _respond(error, renderer if renderer is render_problem else _render_page)


def _respond(error: HTTPException, renderer: Renderer) -> Response:
    negotiates = isinstance(renderer, HTMLRenderer)
    if negotiates and _prefers_json():
        renderer = render_problem
    response = renderer(error)
    response.status_code = error.code or 500
    _add_headers(response.headers, error)
    if negotiates:
        response.headers["Vary"] = ", ".join([*response.headers.getlist("Vary"), "Accept"])
    return response


def _prefers_json() -> bool:
    """Return whether the client prefers JSON to HTML (RFC 9110 section 12.5.1)."""
    has_json = "json" in request.environ.get("HTTP_ACCEPT", "").lower()
    return has_json and request.accept_mimetypes.best_match(_MEDIA_TYPES, "").endswith("json")


def _add_headers(headers: Headers, error: HTTPException) -> None:
    """Add the error's own headers, such as Allow or Retry-After, then those that every error response has."""
    own = [(name, value) for name, value in error.get_headers(request.environ) if name.lower() not in _CONTENT_HEADERS]
    for name, _ in own:
        if name.lower() != "vary":  # the body varies by the renderer's Vary too
            headers.remove(name)
    headers.extend(own)
    cache_control = current_app.config.get("NOT_FOUND_CACHE_CONTROL") if error.code == 404 else None
    defaults = {"Cache-Control": cache_control or "no-store", "X-Robots-Tag": "noindex"}
    defaults["X-Request-ID"] = request_id(request.environ)
    present = {name.lower() for name, _ in headers}
    headers.extend({name: value for name, value in defaults.items() if name.lower() not in present})
