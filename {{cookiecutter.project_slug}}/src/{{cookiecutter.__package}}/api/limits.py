"""Rate limits, counted per client address in memory or in Redis (RATELIMIT_STORAGE_URI).

Requests pass while Redis is unavailable. https://limits.readthedocs.io
"""

import logging
import math
import time
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import limits
from flask import Flask, Response, after_this_request, current_app, request
from limits.errors import ConfigurationError, StorageError
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter

from .. import errors
from ..core.logging import Throttle
from ..core.requests import SAFE_METHODS

P = ParamSpec("P")
R = TypeVar("R")

REDIS_TIMEOUTS = {"socket_connect_timeout": 0.5, "socket_timeout": 0.5}  # seconds

_logger = logging.getLogger(__name__)
_throttle = Throttle()


class RateLimited(errors.InvalidAPIUsage):
    code = 429
    type = "/problems/rate-limited"
    title = "Rate limited"
    description = "There were too many requests from this address."
    documentation = "Too many requests from one address. Retry after the number of seconds in the Retry-After header."

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.headers = headers or {}


def init_app(app: Flask) -> None:
    """Create the storage. It connects at the first request.

    :raises SystemExit: if the package for Redis is not installed.
    """
    uri = app.config["RATELIMIT_STORAGE_URI"]
    options = {} if uri == "memory://" else REDIS_TIMEOUTS
    try:
        app.extensions["rate_limit_storage"] = storage_from_string(uri, wrap_exceptions=True, **options)
    except ConfigurationError:
        raise SystemExit("RATELIMIT_STORAGE_URI: the package redis is missing; run: uv sync --extra redis") from None


def rate_limit(limit: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Limit the requests of one address to a view, such as a login. Decorate the view below its route.

    :param limit: such as ``"5/minute"`` or ``"5/minute; 50/day"``.
    :raises ValueError: if the limit is malformed.
    """
    limits.parse_many(limit)

    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        @wraps(view)
        def limited(*args: P.args, **kwargs: P.kwargs) -> Any:
            _count(limit, f"{view.__module__}.{view.__qualname__}")
            return current_app.ensure_sync(view)(*args, **kwargs)

        return limited

    return decorate


def enforce_limit() -> None:
    """Limit the writes of one address to RATELIMIT_WRITES. For ``before_request`` of a blueprint.

    :raises RateLimited: if the limit is exceeded.
    """
    if request.method not in SAFE_METHODS:
        _count(current_app.config["RATELIMIT_WRITES"], __name__)


def _count(limit: str, scope: str) -> None:
    for item in limits.parse_many(limit):
        try:
            _hit(item, scope, request.remote_addr or "")
        except StorageError as error:
            if _throttle.record(error) is not None:
                _logger.warning("Rate limit storage failed: %s; requests pass; check RATELIMIT_STORAGE_URI", error)


def _hit(item: limits.RateLimitItem, *key: str) -> None:
    """Count the request and add the headers of draft-ietf-httpapi-ratelimit-headers-10 to its response."""
    limiter = FixedWindowRateLimiter(current_app.extensions["rate_limit_storage"])
    passes = limiter.hit(item, *key)
    reset, remaining = limiter.get_window_stats(item, *key)
    seconds = max(1, math.ceil(reset - time.time()))
    headers = {
        "RateLimit-Policy": f'"default";q={item.amount};w={item.get_expiry()}',
        "RateLimit": f'"default";r={remaining};t={seconds}',
    }
    if not passes:
        raise RateLimited({**headers, "Retry-After": str(seconds)})

    @after_this_request
    def add_headers(response: Response) -> Response:
        response.headers.update(headers)
        return response
