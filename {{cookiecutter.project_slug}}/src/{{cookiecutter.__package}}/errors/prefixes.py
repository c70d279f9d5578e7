"""Choose an error renderer by URL prefix.

Flask assigns routing errors (404, 405) to no blueprint:
https://flask.palletsprojects.com/en/stable/errorhandling/#blueprint-error-handlers
"""

import re
from collections.abc import Callable
from functools import cache
from typing import cast
from weakref import WeakKeyDictionary

from flask import Blueprint, Flask, Response
from werkzeug.exceptions import HTTPException

# Renders an error to a response. The caller adds the status and the error's headers.
# If it has a method ``init_app(app)``, that is called once for each application, at startup.
Renderer = Callable[[HTTPException], Response]

_renderers: WeakKeyDictionary[Blueprint, Renderer] = WeakKeyDictionary()


def register_renderer(blueprint: Blueprint, renderer: Renderer) -> None:
    """Render all errors below the URL prefix of a blueprint with this renderer. Call it before ``register_blueprint``.

    The prefix is the one that is really registered: passed to ``register_blueprint``, nested, or with variables.
    A blueprint without a prefix is used for every path that no other prefix matches.
    """
    if blueprint not in _renderers:  # a factory that runs again registers the same blueprint
        blueprint.record(lambda state: add_prefix(cast(Flask, state.app), state.url_prefix, _renderers[blueprint]))
    _renderers[blueprint] = renderer


def renderer_for(app: Flask, path: str) -> Renderer | None:
    """Return the renderer of the longest registered prefix that matches a path, or ``None``.

    :param path: ``request.path``, decoded and without the path at which the application is mounted.
    """
    for prefix, renderer in registered_prefixes(app):
        if _compile(prefix).match(path):
            return renderer
    return None


def registered_prefixes(app: Flask) -> list[tuple[str, Renderer]]:
    """Return the prefixes of an application and their renderers, longest prefix first."""
    prefixes: list[tuple[str, Renderer]] = app.extensions.setdefault("errors.prefixes", [])
    return prefixes


def add_prefix(app: Flask, prefix: str | None, renderer: Renderer) -> None:
    """Register a renderer for a URL prefix, such as ``/v1``."""
    if "errors" in app.extensions:
        prepare(app, renderer)  # otherwise init_app() prepares it, when all templates are registered
    prefixes = registered_prefixes(app)
    prefixes.append(((prefix or "").rstrip("/"), renderer))
    prefixes.sort(key=lambda each: (-each[0].count("/"), each[0].count("<")))


def prepare(app: Flask, renderer: Renderer) -> None:
    """Call the ``init_app(app)`` of a renderer, if it has one."""
    if hasattr(renderer, "init_app"):
        renderer.init_app(app)


@cache
def _compile(prefix: str) -> re.Pattern[str]:
    return re.compile(to_pattern(prefix) + r"(/|\Z)")


def to_pattern(prefix: str) -> str:
    """Return a prefix as a regular expression. A variable, as in ``/<tenant>/api``, matches one segment."""
    return "[^/]+".join(map(re.escape, re.split(r"<[^<>]*>", prefix)))
