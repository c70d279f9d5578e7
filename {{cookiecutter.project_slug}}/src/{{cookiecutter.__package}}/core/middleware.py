"""Middleware around the application: proxies, mount point, request ID, security headers, last-resort 500 response."""

from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any

from flask import Flask, Request, Response
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from werkzeug.exceptions import InternalServerError
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wsgi import ClosingIterator

from .. import errors
from . import health
from .requests import complete_body

POLICY = "default-src 'self'; base-uri 'self'; form-action 'self'; object-src 'none'; frame-ancestors 'none'"
# Added to every response that does not set the header itself. CSP level 3, Referrer Policy, Fetch.
SECURITY_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "X-Content-Type-Options": "nosniff",
}
REQUEST_ID_PLACEHOLDER = "request-id-of-the-last-resort-response"


def init_app(app: Flask) -> None:
    """Wrap the application. Call it last: the wrapper that is added last runs first."""
    app.session_interface = CookieSessionInterface()
    application: Callable[..., Iterable[bytes]] = LastResortMiddleware(app.wsgi_app, app)
    application = RequestMiddleware(application, app.config)
    if hops := app.config["PROXY_HOPS"]:
        application = ProxyFix(application, x_for=hops, x_proto=hops, x_host=hops, x_prefix=hops)
    app.wsgi_app = application  # type: ignore[method-assign]


class RequestMiddleware:
    """Set the mount point and the request ID, complete the body, add security headers. WSGI middleware (PEP 3333)."""

    def __init__(self, application: Callable[..., Iterable[bytes]], config: Mapping[str, Any]) -> None:
        self.application = application
        self.health_host = (config["TRUSTED_HOSTS"] or ["localhost"])[0].lstrip(".")
        self.root = config["APPLICATION_ROOT"].rstrip("/")
        self.max_content_length = config["MAX_CONTENT_LENGTH"]

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.setdefault("PATH_INFO", "")
        # A proxy may or may not remove the mount point. One slash only: //a.example is another origin.
        mount_point = environ.get("SCRIPT_NAME", "").strip("/\\")
        environ["SCRIPT_NAME"] = f"/{mount_point}" if mount_point else self.root
        if self.root and not mount_point and f"{path}/".startswith(f"{self.root}/"):
            environ["PATH_INFO"] = path[len(self.root) :]
        if environ["PATH_INFO"] in health.PATHS:
            environ["HTTP_HOST"] = self.health_host  # health checks use an address as the host name
        complete_body(environ, self.max_content_length)
        request_id = errors.request_id(environ)

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            present = {name.lower() for name, _ in headers}
            defaults = {**SECURITY_HEADERS, "X-Request-ID": request_id}
            headers += [(name, value) for name, value in defaults.items() if name.lower() not in present]
            return start_response(status, headers, exc_info)

        return self.application(environ, start)


class LastResortMiddleware:
    """Log an exception that escapes Flask, such as one in a teardown function, and send a constant 500 response.

    An exception after the first part of the body is passed on: the server logs it, and closes the connection.
    """

    def __init__(self, application: Callable[..., Iterable[bytes]], app: Flask) -> None:
        self.application = application
        self.app = app
        with app.test_request_context(headers={"X-Request-ID": REQUEST_ID_PLACEHOLDER}):
            self.page = errors.HTMLRenderer("errors")(InternalServerError())
            self.problem = errors.render_problem(InternalServerError())

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        started: list[Any] = []
        body: Iterable[bytes] = ()
        try:
            body = self.application(environ, lambda *arguments: started.append(arguments))
            parts = iter(body)
            first = next(parts, b"")
            status, headers = started[-1][:2]
            "".join(value for _, value in headers).encode("latin-1")  # otherwise Gunicorn fails while it sends them
        except Exception:
            if self.app.debug or self.app.testing or self.app.config["PROPAGATE_EXCEPTIONS"]:
                raise
            extra = {"request_id": errors.request_id(environ)}
            self.app.logger.exception("Exception outside of a view; sent a generic 500 response", extra=extra)
            response = self._respond(environ)(environ, start_response)
        else:
            start_response(status, headers)
            response = chain([first], parts)
        return ClosingIterator(response, getattr(body, "close", None))

    def _respond(self, environ: dict[str, Any]) -> Response:
        is_api = errors.renderer_for(self.app, environ["PATH_INFO"]) is errors.render_problem
        constant = self.problem if is_api else self.page
        body = constant.get_data().replace(REQUEST_ID_PLACEHOLDER.encode(), errors.request_id(environ).encode())
        response = Response(body, 500, constant.headers)
        response.headers.update({"Cache-Control": "no-store", "X-Robots-Tag": "noindex"})
        return response


class CookieSessionInterface(SecureCookieSessionInterface):
    """Flask's sessions, without the cost of a signer for a request without cookies: a fifth of the time of a 404."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        if app.secret_key and "HTTP_COOKIE" not in request.environ:
            return self.session_class()
        return super().open_session(app, request)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if session or session.accessed:
            super().save_session(app, session, response)
