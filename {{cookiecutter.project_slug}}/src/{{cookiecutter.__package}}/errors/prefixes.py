"""Choose an error renderer by URL prefix, including for URLs that match no route.

Flask assigns routing errors (404, 405) to no blueprint, so the error handlers of a blueprint never receive them:
https://flask.palletsprojects.com/en/stable/errorhandling/#blueprint-error-handlers
"""

import re
from collections.abc import Callable
from typing import NamedTuple, cast
from weakref import WeakKeyDictionary

from flask import Blueprint, Flask, Response
from werkzeug.exceptions import HTTPException

Renderer = Callable[[HTTPException], Response]
"""Callable that renders an ``HTTPException`` to a response. The caller adds the status and the error's headers.

If it has a method ``init_app(app)``, that is called once for each application, at startup.
"""


class Prefix(NamedTuple):
    """A URL prefix with a renderer. ``matches(path)`` is true for the prefix and the paths below it."""

    prefix: str
    matches: Callable[[str], object]
    renderer: Renderer


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
    for prefix in registered_prefixes(app):
        if prefix.matches(path):
            return prefix.renderer
    return None


def registered_prefixes(app: Flask) -> list[Prefix]:
    """Return the prefixes of an application, longest first."""
    prefixes: list[Prefix] = app.extensions.setdefault("errors.prefixes", [])
    return prefixes


def add_prefix(app: Flask, prefix: str | None, renderer: Renderer) -> None:
    """Register a renderer for a URL prefix, such as ``/v1``."""
    if "errors" in app.extensions:
        prepare(app, renderer)  # otherwise init_app() prepares it, when all templates are registered
    prefix = (prefix or "").rstrip("/")
    matches = re.compile(to_pattern(prefix) + r"(/|\Z)").match
    prefixes = registered_prefixes(app)
    prefixes.append(Prefix(prefix, matches, renderer))
    prefixes.sort(key=lambda each: (-each.prefix.count("/"), each.prefix.count("<")))


def prepare(app: Flask, renderer: Renderer) -> None:
    """Call the ``init_app(app)`` of a renderer, if it has one."""
    if hasattr(renderer, "init_app"):
        renderer.init_app(app)


def to_pattern(prefix: str) -> str:
    """Return a prefix as a regular expression. A variable, as in ``/<tenant>/api``, matches one segment."""
    return "[^/]+".join(map(re.escape, re.split(r"<[^<>]*>", prefix)))
