"""Map exceptions to HTTP errors.

This module knows the standard library. Register the exceptions of other libraries beside the code that uses them::

    @errors.to_http_error.register
    def _(error: SomeLibraryTimeout) -> HTTPException:
        return GatewayTimeout()
"""

import errno
import random
import socket
import ssl
from functools import singledispatch
from urllib.error import HTTPError, URLError

from werkzeug.exceptions import BadGateway, GatewayTimeout, HTTPException, InternalServerError, ServiceUnavailable


class InsufficientStorage(HTTPException):
    """507 (RFC 4918 section 11.5): the disk is full. Werkzeug has no class for this status."""

    code = 507


class StorageError(InternalServerError):
    """500 caused by a failing disk or corrupt data rather than by a bug."""


class MisconfiguredGateway(BadGateway):
    """502 that a retry will not fix: the host name does not resolve or the certificate is not trusted."""


def classify(error: BaseException) -> HTTPException | None:
    """Return the HTTP error for an exception or its explicit causes, or ``None`` if it is unknown."""
    visited: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in visited:
        if http_error := to_http_error(cause):
            return http_error
        visited.add(id(cause))
        cause = cause.__cause__  # not __context__: a bug in an except block is a bug
    return None


@singledispatch
def to_http_error(error: BaseException) -> HTTPException | None:
    """Return the HTTP error for this exception type, or ``None``. Add types with ``@to_http_error.register``."""
    return None


@to_http_error.register
def _(error: OSError) -> HTTPException | None:
    if isinstance(error, URLError) and isinstance(error.reason, OSError):
        return to_http_error(error.reason)
    if isinstance(error, (socket.gaierror, ssl.SSLError)):  # before errno, which means something else in these
        return MisconfiguredGateway()
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return GatewayTimeout()
    if isinstance(error, (ConnectionError, HTTPError)) or error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        return BadGateway()
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InsufficientStorage()
    if error.errno in (errno.EIO, errno.EROFS):
        return StorageError()
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
        return service_unavailable()
    return None


@to_http_error.register
def _(error: MemoryError) -> HTTPException:
    return service_unavailable()


def service_unavailable() -> ServiceUnavailable:
    """Return a 503 with a random ``Retry-After`` of 5 to 15 seconds, so that clients do not retry all at once."""
    return ServiceUnavailable(retry_after=random.randint(5, 15))
