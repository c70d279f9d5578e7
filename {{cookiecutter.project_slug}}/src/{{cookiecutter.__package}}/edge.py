"""What every request and every response passes: proxies, request id, security headers."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from flask import Flask, Request, Response
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from werkzeug.middleware.proxy_fix import ProxyFix

from . import deadline, errors, fallback, health

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SECURITY_HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'self'; base-uri 'self'; form-action 'self'; object-src 'none'; frame-ancestors 'none'",
    ),
    ("Referrer-Policy", "strict-origin-when-cross-origin"),
    ("X-Content-Type-Options", "nosniff"),
)
"""On every response that has no such header of its own. CSP level 3, Referrer Policy, Fetch."""
_BY_NAME = [(header[0].lower(), header) for header in SECURITY_HEADERS]


def init_app(app: Flask) -> None:
    app.session_interface = Sessions()
    if not app.debug:  # there crashes are for the debugger
        app.wsgi_app = fallback.LastResort(app.wsgi_app, app)  # type: ignore[method-assign]
    app.wsgi_app = Edge(app.wsgi_app, app.config["TRUSTED_HOSTS"], app.config["REQUEST_DEADLINE"])  # type: ignore[method-assign]
    if hops := app.config["PROXY_HOPS"]:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops, x_prefix=hops)  # type: ignore[method-assign]


class Edge:
    """WSGI middleware (PEP 3333) around everything but the proxies' headers."""

    def __init__(self, application: "WSGIApplication", trusted_hosts: list[str] | None, seconds: int) -> None:
        self.application = application
        self.seconds = seconds
        self.probed_host = (trusted_hosts or ["localhost"])[0].lstrip(".")

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        deadline.start(environ, self.seconds)
        if environ["PATH_INFO"] in health.PATHS:
            environ["HTTP_HOST"] = self.probed_host  # probes ask for an address, not a name
        if mount_point := environ.get("SCRIPT_NAME"):
            environ["SCRIPT_NAME"] = ("/" + mount_point.strip("/\\")).rstrip("/")  # //a.example is another origin
        request_id = errors.reference(environ)

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            present = {name.lower() for name, _ in headers}
            headers += [header for name, header in _BY_NAME if name not in present]
            if "x-request-id" not in present:
                headers.append(("X-Request-ID", request_id))
            return start_response(status, headers, exc_info)

        return self.application(environ, start)


class Sessions(SecureCookieSessionInterface):
    """Flask's sessions, at no cost to a request that has none: no signer is made, no cookie parsed."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        if app.secret_key and "HTTP_COOKIE" not in request.environ:
            return self.session_class()
        return super().open_session(app, request)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if session or session.accessed:
            super().save_session(app, session, response)
