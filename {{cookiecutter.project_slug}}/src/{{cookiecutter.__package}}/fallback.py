"""Answers where the application has none: constant bytes, made by ``errors`` at start-up.

For what fails outside Flask's reach (a teardown function, a header that cannot be sent, a stream) and for what
gunicorn refuses before there is a request.
"""

import errno
import logging
import re
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from flask import Flask
from werkzeug.exceptions import default_exceptions

from . import errors
from .errors.spaces import owner

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)
"""Here everything is an error, also what may pass by itself: the client was not told to come again."""

Headers = list[tuple[str, str]]
Answer = tuple[Headers, bytes]

STATUSES = (400, 403, 408, 414, 417, 431, 500, 501)
_REFERENCE = "reference-of-a-request"
_FIELD_VALUE = re.compile(r"[\t -~\x80-\xff]*").fullmatch  # RFC 9110 section 5.5


def init_app(app: Flask) -> None:
    """Make the answers. Last of all, when there are error pages."""
    with app.test_request_context(headers={"X-Request-ID": _REFERENCE}):
        app.extensions["fallback"] = {
            (status, renderer is errors.problem): _answer(renderer, status)
            for status in STATUSES
            for renderer in (errors.Pages("errors"), errors.problem)
        }
    app.logger.addFilter(_once)


def _once(record: logging.LogRecord) -> bool:
    """Not the second failure of an ``after_request`` function: Flask runs it for the 500 that it caused, too."""
    error = record.exc_info[1] if record.exc_info else None
    if error is None or not error.__context__ or not str(record.msg).startswith("Request finalizing failed"):
        return True
    return _place(error) != _place(error.__context__)


def _place(error: BaseException) -> object:
    return [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)][-1:]


def _answer(renderer: errors.Renderer, status: int) -> Answer:
    response = renderer(default_exceptions[status]())
    response.headers.extend({"Cache-Control": "no-store", "X-Robots-Tag": "noindex"})
    return list(response.headers), response.get_data()


def answer(app: Flask, status: int, path: str, reference: str) -> Answer:
    """Headers and body: a problem where the URL is of programs, a page otherwise."""
    headers, body = app.extensions["fallback"][status, owner(app, path) is errors.problem]
    body = body.replace(_REFERENCE.encode(), reference.encode())
    kept = [header for header in headers if header[0] != "Content-Length"]
    return [*kept, ("Content-Length", str(len(body))), ("X-Request-ID", reference)], body


class LastResort:
    """WSGI middleware (PEP 3333): what escapes the application is logged, once, and answered with 500.

    Nothing is sent before the first part of the body is there. What fails later can only be cut off.
    """

    def __init__(self, application: "WSGIApplication", app: Flask) -> None:
        self.application = application
        self.app = app

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        response = _Response(self, environ)
        try:
            response.body = body = self.application(environ, response.start)
            response.parts = iter(body)
            response.first = _bytes(next(response.parts, b""))
            _check(response.head[1])
        except BaseException as error:  # SystemExit too, which would end the worker, and gunicorn with it
            with suppress(Exception):
                response.body.close()  # type: ignore[attr-defined]
            if self.app.testing or self.app.config["PROPAGATE_EXCEPTIONS"]:
                raise
            return self._answer(environ, start_response, error)
        start_response(*response.head)
        return response

    def _answer(
        self, environ: "WSGIEnvironment", start_response: "StartResponse", error: BaseException
    ) -> Iterable[bytes]:
        self.tell(environ, error)
        headers, body = answer(self.app, 500, environ["PATH_INFO"], errors.reference(environ))
        start_response("500 INTERNAL SERVER ERROR", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def tell(self, environ: "WSGIEnvironment", error: BaseException) -> None:
        path = environ["PATH_INFO"].encode("latin-1", "replace").decode(errors="replace")
        extra = {"request_id": errors.reference(environ)}
        exc_info = type(error), error, error.__traceback__
        log.error("Exception on %s [%s]", path, environ["REQUEST_METHOD"], exc_info=exc_info, extra=extra)


def _write(_: bytes) -> object:
    raise NotImplementedError("The write() of PEP 3333 is for old frameworks.")


def _check(headers: Headers) -> None:
    """
    :raises ValueError: a header cannot be sent. gunicorn would notice too late.
    """
    values = "".join(map(itemgetter(1), headers))
    if values.isascii() and values.isprintable():
        return  # as nearly always
    for name, value in headers:
        if not _FIELD_VALUE(value):
            raise ValueError(f"The header {name} holds what no header can.")


def _bytes(part: object) -> bytes:
    """
    :raises TypeError: a body is made of bytes.
    """
    if not isinstance(part, bytes):
        raise TypeError(f"A part of the response is {type(part).__name__}, and not bytes.")
    return part


class _Response:
    """Head and body. When the body fails, or ends too early, its connection is cut: it is not to look complete."""

    __slots__ = ("body", "environ", "first", "head", "parts", "resort")

    head: tuple[str, Headers, Any]
    first: bytes
    parts: Iterator[bytes]

    def __init__(self, resort: LastResort, environ: "WSGIEnvironment") -> None:
        self.resort = resort
        self.environ = environ
        self.body: Iterable[bytes] = ()

    def start(self, status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], object]:
        self.head = status, headers, exc_info
        return _write

    def __iter__(self) -> Iterator[bytes]:
        yield self.first
        sent = len(self.first)
        while part := self._next(sent):
            yield part
            sent += len(part)

    def _next(self, sent: int) -> bytes:
        """The next part that is not empty, or b"" at the end."""
        try:
            for part in self.parts:
                if _bytes(part):
                    return part
            self._check_length(sent)
        except BaseException as error:
            self.resort.tell(self.environ, error)
            raise _cut(self.environ) from None
        return b""

    def _check_length(self, sent: int) -> None:
        """
        :raises EOFError: the body is shorter than its Content-Length.
        """
        status, headers, _ = self.head
        has_body = self.environ["REQUEST_METHOD"] != "HEAD" and not status.startswith(("204", "304"))
        if has_body and sent < _length(headers):
            raise EOFError("The response is shorter than its Content-Length.")

    def close(self) -> None:
        try:
            if hasattr(self.body, "close"):
                self.body.close()
        except BaseException as error:
            self.resort.tell(self.environ, error)


def _length(headers: Headers) -> int:
    """What the Content-Length says; 0 without one."""
    for name, value in headers:
        if name.lower() == "content-length":
            return int(value)
    return 0


class CutError(ConnectionResetError):
    """The connection is cut here. gunicorn takes it for a client that has gone, and so logs nothing more."""


def _cut(environ: "WSGIEnvironment") -> CutError:
    with suppress(KeyError, AttributeError):
        environ["gunicorn.socket"].abort()
    return CutError(errno.ECONNRESET, "The response failed.")
