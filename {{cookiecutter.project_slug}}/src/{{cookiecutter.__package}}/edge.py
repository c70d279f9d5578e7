"""What every request and every response passes: proxies, request id, complete bodies, security headers."""

import json
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

import flask
from flask.json.provider import DefaultJSONProvider
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge
from werkzeug.middleware.proxy_fix import ProxyFix

from . import errors, health

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SECURITY_HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'self'; base-uri 'self'; form-action 'self'; object-src 'none'; frame-ancestors 'none'",
    ),
    ("Referrer-Policy", "strict-origin-when-cross-origin"),
    ("X-Content-Type-Options", "nosniff"),
)
"""On every response that has no such header of its own."""


def init_app(app: flask.Flask) -> None:
    app.request_class = Request
    app.json = StrictJSON(app)
    app.before_request(refuse_large_body)
    app.wsgi_app = Edge(app.wsgi_app, app.config["TRUSTED_HOSTS"])  # type: ignore[method-assign]
    if hops := app.config["PROXY_HOPS"]:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops, x_prefix=hops)  # type: ignore[method-assign]


class Edge:
    """WSGI middleware (PEP 3333): the first to see a request, the last to see a response."""

    def __init__(self, application: "WSGIApplication", trusted_hosts: list[str] | None) -> None:
        self.application = application
        self.trusted_hosts = trusted_hosts

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        if self.trusted_hosts and environ["PATH_INFO"] in health.PATHS:
            environ["HTTP_HOST"] = self.trusted_hosts[0].lstrip(".")  # probes ask for an address, not a name
        every = (*SECURITY_HEADERS, ("X-Request-ID", errors.reference(environ)))
        _insist_on_whole_body(environ)

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            present = {name.lower() for name, _ in headers}
            headers += [header for header in every if header[0].lower() not in present]
            return start_response(status, headers, exc_info)

        return self.application(environ, start)


def _insist_on_whole_body(environ: "WSGIEnvironment") -> None:
    """Let Werkzeug see that a body ends early, which then is a 400.

    gunicorn says ``wsgi.input_terminated``, which makes Werkzeug take a body cut short for the whole of it.
    """
    if "CONTENT_LENGTH" in environ:
        environ.pop("wsgi.input_terminated", None)
    elif "HTTP_TRANSFER_ENCODING" in environ:
        environ["wsgi.input"] = ChunkedBody(environ["wsgi.input"])


class ChunkedBody:
    """A chunked body (RFC 9112 section 7.1) whose errors are :exc:`OSError`, which Werkzeug answers with 400.

    Those of gunicorn's parser are classes of its own.
    """

    def __init__(self, body: BinaryIO) -> None:
        self.body = body

    def read(self, size: int = -1) -> bytes:
        try:
            return self.body.read(size)
        except Exception as error:
            raise OSError("The chunked body is broken.") from error


def refuse_large_body() -> None:
    """Before any view and on every URL: 413 by what the header says, the body unread (RFC 9110 section 15.5.14)."""
    if (flask.request.content_length or 0) > flask.current_app.config["MAX_CONTENT_LENGTH"]:
        raise RequestEntityTooLarge


class Request(flask.Request):
    """A request that tells the API's client why its JSON is refused."""

    def on_json_loading_failed(self, e: ValueError | None) -> Any:
        if e is not None:
            raise BadRequest("The body is not valid JSON.") from e
        return super().on_json_loading_failed(e)


class StrictJSON(DefaultJSONProvider):
    """JSON as RFC 8259 has it: no NaN or Infinity, and nothing nested too deeply to be read."""

    sort_keys = False

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return super().dumps(obj, **{"allow_nan": False, **kwargs})

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        try:
            return json.loads(s, parse_constant=_refuse_constant, **kwargs)
        except RecursionError:
            raise ValueError("nested too deeply") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
