"""When a request has to be answered: REQUEST_DEADLINE seconds after it came in.

Nothing ends Python code from outside without harm. What waits can give up by itself: ``database.py`` and
``upstream.py`` ask here how long they may. A view that only computes, or waits for something else, is not bounded.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from flask import has_request_context, request
from werkzeug.exceptions import HTTPException

from . import errors

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_KEY = "deadline"
_narrower: ContextVar[float] = ContextVar("narrower", default=inf)


class DeadlineError(Exception):
    """It is too late to begin something. Not a TimeoutError: SQLAlchemy gives up the connection after one."""


@errors.explain.register
def _(error: DeadlineError) -> HTTPException:
    return errors.overloaded()


def start(environ: "WSGIEnvironment", seconds: int) -> None:
    """Let a request end so many seconds after it came in: it may have waited for a thread of ``workers.py``."""
    environ[_KEY] = (getattr(environ.get("gunicorn.socket"), "since", None) or monotonic()) + seconds


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Give what is done here so many seconds at most, or what is left of the request where that is less."""
    token = _narrower.set(min(monotonic() + seconds, _narrower.get()))
    try:
        yield
    finally:
        _narrower.reset(token)


def moment() -> float:
    """When to give up, on the clock of :func:`time.monotonic`. Never, where there is no request, as in a command."""
    narrower = _narrower.get()
    return min(narrower, request.environ.get(_KEY, inf)) if has_request_context() else narrower


def left(limit: float = inf) -> float:
    """How many seconds a wait may take that has a limit of its own: that, or less, down to 0."""
    return max(0.0, min(limit, moment() - monotonic()))


def has_passed() -> bool:
    return monotonic() > moment()


def check() -> None:
    """
    :raises DeadlineError: 503, the deadline has passed.
    """
    if has_passed():
        raise DeadlineError("The deadline of the request has passed.")
