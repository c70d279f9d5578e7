"""What an exception means over HTTP, where it means more than "there is a bug".

Here is what the standard library knows. Who brings a library registers what its exceptions mean beside it::

    @errors.explain.register
    def _(error: SomeLibraryTimeout) -> HTTPException:
        return GatewayTimeout()

The exception itself stays unhandled, so Flask logs it and Sentry gets it: only the answer becomes more exact.
"""

import errno
import random
import socket
import ssl
from functools import singledispatch
from urllib.error import HTTPError, URLError

from werkzeug.exceptions import BadGateway, GatewayTimeout, HTTPException, InternalServerError, ServiceUnavailable


class InsufficientStorage(HTTPException):
    """507, RFC 4918 section 11.5. Werkzeug has no class for it."""

    code = 507


class StorageError(InternalServerError):
    """500: the disk fails, or what is on it is broken. The code is not to blame."""


class MisconfiguredGateway(BadGateway):
    """502 that waiting does not mend: the name of the other system is unknown, or its certificate not to be trusted."""


def meaning(error: BaseException) -> HTTPException | None:
    """The HTTP error that an exception, or one that it was raised from, amounts to; None for a bug."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        if found := explain(cause):
            return found
        seen.add(id(cause))
        cause = cause.__cause__  # not __context__: a bug in an except block is a bug
    return None


@singledispatch
def explain(error: BaseException) -> HTTPException | None:
    """The HTTP error that this very exception amounts to; None where it says nothing. Register more of them."""
    return None


@explain.register
def _(error: OSError) -> HTTPException | None:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InsufficientStorage()
    if error.errno in (errno.EIO, errno.EROFS):
        return StorageError()
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
        return overloaded()
    if error.errno == errno.ETIMEDOUT:
        return GatewayTimeout()
    if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        return BadGateway()
    return None


@explain.register
def _(error: TimeoutError) -> HTTPException:
    return GatewayTimeout()


@explain.register
def _(error: ConnectionError) -> HTTPException:
    return BadGateway()


@explain.register(socket.gaierror)
@explain.register(ssl.SSLError)
def _(error: OSError) -> HTTPException:
    return MisconfiguredGateway()


@explain.register
def _(error: URLError) -> HTTPException | None:
    return explain(error.reason) if isinstance(error.reason, OSError) else None


@explain.register
def _(error: HTTPError) -> HTTPException:
    return BadGateway()


@explain.register
def _(error: MemoryError) -> HTTPException:
    return overloaded()


def overloaded() -> ServiceUnavailable:
    """503 with a Retry-After between 5 and 15 seconds, so that the clients do not all come back at once."""
    return ServiceUnavailable(retry_after=random.randint(5, 15))
