"""How often one client may ask: RATELIMIT_WRITES and RATELIMIT_READS, counted for each address.

In the memory of each process, or in Redis for all of them (RATELIMIT_STORAGE_URI). While Redis cannot be reached,
requests pass. https://flask-limiter.readthedocs.io
"""

import logging
import math
import time

from flask import Flask, Response, after_this_request, current_app, request
from flask_limiter import Limiter, RateLimitExceeded
from flask_limiter.util import get_remote_address

from . import errors
from .database import SAFE_METHODS

limiter = Limiter(get_remote_address, swallow_errors=True)


class RateLimited(errors.InvalidAPIUsage):
    """Too many requests came from one address. Wait as many seconds as the ``Retry-After`` header says."""

    code = 429
    type = "/problems/rate-limited"
    title = "Rate limited"
    description = "Too many requests. Wait as long as Retry-After says."


def init_app(app: Flask) -> None:
    # It is asked where there is a limit, see check(): its own hooks would slow every request down, each 404 too.
    app.extensions["limiter"] = {limiter}
    app.config["RATELIMIT_STORAGE_OPTIONS"] = {"socket_connect_timeout": 0.5, "socket_timeout": 0.5}  # of Redis
    limiter.init_app(app)
    limiter.logger.setLevel(logging.WARNING)  # its INFO repeats the access line of each 429
    limiter.logger.addFilter(_once_a_minute)


def check() -> None:
    """Count this request, before it is answered: for ``before_request`` of a blueprint.

    :raises RateLimited: it is one too many.
    """
    try:
        if _limit():
            after_this_request(_add_headers)
            _count()
    except RateLimitExceeded:
        raise RateLimited from None


def _kind(_: object = None) -> str:
    return "READS" if request.method in SAFE_METHODS else "WRITES"


def _limit() -> str:
    return current_app.config[f"RATELIMIT_{_kind()}"] or ""


@limiter.shared_limit(_limit, scope=_kind)
def _count() -> None:
    """Flask-Limiter counts the calls."""


def _add_headers(response: Response) -> Response:
    """``RateLimit-Policy`` and ``RateLimit``, as in draft-ietf-httpapi-ratelimit-headers-10."""
    if limit := limiter.current_limit:
        try:
            reset, remaining = limit.window
        except Exception:  # the storage was lost since; the request passes
            return response
        seconds = max(1, math.ceil(reset - time.time()))
        response.headers["RateLimit-Policy"] = f'"default";q={limit.limit.amount};w={limit.limit.get_expiry()}'
        response.headers["RateLimit"] = f'"default";r={remaining};t={seconds}'
        if response.status_code == 429:
            response.headers["Retry-After"] = str(seconds)
    return response


def _once_a_minute(record: logging.LogRecord) -> bool:
    """Whether to log that the storage has failed: it does so with every request."""
    passes = record.created >= _silent_until[0]
    if passes:
        _silent_until[0] = record.created + 60
    return passes


_silent_until = [0.0]
