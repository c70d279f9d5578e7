"""Rate limits, counted per client address in memory or in Redis. https://limits.readthedocs.io"""

import logging
import math
import time
from collections.abc import Callable
from functools import wraps
from ipaddress import IPv6Address, IPv6Network
from typing import Any, ParamSpec, TypeVar

import limits
from flask import Response, after_this_request, current_app, request
from flask.sansio.app import App
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter

from .. import errors
from ..core.logging import Throttle
from ..core.requests import SAFE_METHODS

P = ParamSpec("P")
R = TypeVar("R")

_logger = logging.getLogger(__name__)
_throttle = Throttle()


class RateLimited(errors.InvalidAPIUsage):
    code = 429
    type = "/problems/rate-limited"
    title = "Rate limited"
    description = "There were too many requests from this address. The Retry-After header has the seconds to wait."


def rate_limit(limit: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Limit the requests of one address to a view, such as a login. Decorate the view below its route.

    :param limit: such as ``"5/minute"`` or ``"5/minute; 50/day"``.
    :raises ValueError: if the limit is malformed.
    """
    limits.parse_many(limit)

    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        @wraps(view)
        def limited(*args: P.args, **kwargs: P.kwargs) -> Any:
            _enforce(limit, f"{view.__module__}.{view.__qualname__}")
            return current_app.ensure_sync(view)(*args, **kwargs)

        return limited

    return decorate


def enforce_limit() -> None:
    """Raise 429 if the writes of one address exceed RATELIMIT_WRITES. For ``before_request`` of a blueprint."""
    if request.method not in SAFE_METHODS:
        _enforce(current_app.config["RATELIMIT_WRITES"], __name__)


def init_storage(app: App) -> None:
    """Create the storage of the counts. It connects at the first request."""
    app.extensions["rate_limit_storage"] = storage_from_string(
        app.config["RATELIMIT_STORAGE_URI"], wrap_exceptions=True, socket_connect_timeout=0.5, socket_timeout=0.5
    )


def _enforce(limit: str, scope: str) -> None:
    if "rate_limit_storage" not in current_app.extensions:  # the blueprint of the API is not registered
        init_storage(current_app)
    for item in limits.parse_many(limit):
        try:
            _count(item, scope)
        except StorageError as error:
            if _throttle.record(error) is not None:
                _logger.warning("Rate limit storage failed: %s; requests pass; check RATELIMIT_STORAGE_URI", error)


def _count(item: limits.RateLimitItem, scope: str) -> None:
    """Count the request, and add the headers of draft-ietf-httpapi-ratelimit-headers-10 to the response."""
    limiter = FixedWindowRateLimiter(current_app.extensions["rate_limit_storage"])
    passes = limiter.hit(item, scope, _client())
    window = limiter.get_window_stats(item, scope, _client())
    seconds = max(1, math.ceil(window.reset_time - time.time()))

    @after_this_request
    def add_headers(response: Response) -> Response:
        response.headers.add("RateLimit-Policy", f'"{item}";q={item.amount};w={item.get_expiry()}')
        response.headers.add("RateLimit", f'"{item}";r={window.remaining};t={seconds}')
        return response

    if not passes:
        error = RateLimited()
        error.headers = {"Retry-After": str(seconds)}
        raise error


def _client() -> str:
    """Return the address of the client. For IPv6 it is the /64 network, because one client has all its addresses."""
    try:
        address = IPv6Address(request.remote_addr or "")
    except ValueError:  # IPv4, or a Unix socket
        return request.remote_addr or ""
    return str(address.ipv4_mapped or IPv6Network((address, 64), strict=False))
