"""Whose URL is it? A blueprint owns its URL space, unknown URLs and wrong methods included.

Routing gives a 404 or 405 to no blueprint, so a blueprint's own error handler never sees one:
https://flask.palletsprojects.com/en/stable/errorhandling/#blueprint-error-handlers
"""

import re
from collections.abc import Callable
from typing import NamedTuple, cast

from flask import Blueprint, Flask, Response
from werkzeug.exceptions import HTTPException

Renderer = Callable[[HTTPException], Response]
"""Gives an error its body and content type. Status and headers are added by who calls it.

A renderer with an ``init_app(app)`` is prepared with it, once for each application.
"""


class Space(NamedTuple):
    """A claimed URL prefix. ``owns(path)`` is true for the paths below it."""

    prefix: str
    owns: Callable[[str], object]
    renderer: Renderer


def claim(blueprint: Blueprint, renderer: Renderer) -> None:
    """Answer every error below the blueprint's URL prefix with this renderer.

    The prefix is the one really registered: given at registration, inherited by nesting, with variables in it.
    Without a prefix the blueprint owns whatever nobody else has claimed.

    :raises RuntimeError: the blueprint is registered already.
    """
    try:
        blueprint.record(lambda state: _add(cast(Flask, state.app), state.url_prefix or "", renderer))
    except AssertionError as error:
        raise RuntimeError(f"Claim for the blueprint {blueprint.name!r} before it is registered.") from error


def owner(app: Flask, path: str) -> Renderer | None:
    """The renderer of the longest claimed prefix of a path, on a segment boundary; None outside every space.

    :param path: ``request.path``: decoded, without the mount point of the application.
    """
    for space in spaces(app):
        if space.owns(path):
            return space.renderer
    return None


def spaces(app: Flask) -> list[Space]:
    """What is claimed in this application, longest prefix first."""
    found: list[Space] = app.extensions.setdefault("errors.spaces", [])
    return found


def _add(app: Flask, prefix: str, renderer: Renderer) -> None:
    if "errors" in app.extensions:
        prepare(app, renderer)  # otherwise init_app does, when all templates are there
    prefix = prefix.rstrip("/")
    spaces(app).append(Space(prefix, _owns(prefix), renderer))
    spaces(app).sort(key=lambda space: (space.prefix.count("/"), -space.prefix.count("<")), reverse=True)


def prepare(app: Flask, renderer: Renderer) -> None:
    """Let a renderer do at start-up what it can: its ``init_app(app)``, if it has one."""
    if hasattr(renderer, "init_app"):
        renderer.init_app(app)


def _owns(prefix: str) -> Callable[[str], object]:
    """Matches the paths below a prefix."""
    return re.compile(pattern(prefix) + r"(/|\Z)").match


def pattern(prefix: str) -> str:
    """A prefix as a regular expression. Its variables, as in ``/<tenant>/api``, stand for one segment each."""
    return "[^/]+".join(map(re.escape, re.split(r"<[^<>]*>", prefix)))
