"""Answers for everything that goes wrong: a page for people, a problem (RFC 9457) for programs.

This folder needs Flask alone. Copy it into any application::

    from . import errors

    errors.claim(api, errors.problem)  # the blueprint's URLs, unknown ones included, answer with JSON
    errors.init_app(app)  # everything else answers with a page, or with JSON to who prefers it

A handler of your own can fall back to ``errors.handle(error)``. And anywhere::

    abort(404, "There is no such order.")
    raise errors.InvalidAPIUsage("The quantity must be positive.", payload={"quantity": -1})

Following https://flask.palletsprojects.com/en/stable/errorhandling/
"""

from .causes import InsufficientStorage, MisconfiguredGateway, StorageError, explain, meaning, overloaded
from .handlers import handle, init_app
from .pages import Pages
from .problems import InvalidAPIUsage, InvalidBody, members, problem
from .references import reference
from .rendering import STYLE
from .spaces import Renderer, claim

__all__ = ["STYLE", "InsufficientStorage", "InvalidAPIUsage", "InvalidBody", "MisconfiguredGateway", "Pages"]
__all__ += ["Renderer", "StorageError", "claim", "explain", "handle", "init_app", "meaning", "members", "overloaded"]
__all__ += ["problem", "reference"]
