"""Error responses for Flask: an HTML page for people, a problem detail (RFC 9457) for programs.

This folder needs Flask only. Copy it into any application; README.md is its manual::

    from . import errors

    errors.register_renderer(api, errors.render_problem)  # errors below the blueprint's URL prefix are JSON
    app.register_blueprint(api)
    errors.init_app(app)  # all other errors are pages, or JSON for clients that prefer it

Raise errors anywhere::

    abort(404, "There is no such order.")
    raise errors.InvalidAPIUsage("The quantity must be positive.", payload={"quantity": -1})

It implements https://flask.palletsprojects.com/en/stable/errorhandling/
"""

from .classify import (
    InsufficientStorage,
    MisconfiguredGateway,
    StorageError,
    classify,
    service_unavailable,
    to_http_error,
)
from .handlers import handle, init_app
from .pages import HTMLRenderer
from .prefixes import Renderer, register_renderer, renderer_for
from .problems import InvalidAPIUsage, InvalidBody, render_problem, to_problem
from .rendering import STYLE
from .request_id import request_id

__all__ = [
    "STYLE",
    "HTMLRenderer",
    "InsufficientStorage",
    "InvalidAPIUsage",
    "InvalidBody",
    "MisconfiguredGateway",
    "Renderer",
    "StorageError",
    "classify",
    "handle",
    "init_app",
    "register_renderer",
    "render_problem",
    "renderer_for",
    "request_id",
    "service_unavailable",
    "to_http_error",
    "to_problem",
]
