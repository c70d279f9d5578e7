"""Calls of another system over HTTP, the one at UPSTREAM_URL, and what their failures mean.

One client for each process (https://www.python-httpx.org). A call takes UPSTREAM_TIMEOUT seconds at most, its retries
included, and less where the deadline of the request is nearer.
"""

import logging
import ssl
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from math import inf
from typing import Any, TypeVar

import httpcore
import httpx
import stamina
from flask import Flask, current_app, has_request_context, request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import BadGateway, GatewayTimeout, HTTPException, ServiceUnavailable
from werkzeug.http import parse_date

from . import deadline, errors
from .database import SAFE_METHODS

Model = TypeVar("Model", bound=BaseModel)

CONNECT_TIMEOUT = 3.0
"""seconds"""
MAX_CONNECTIONS = 10
MAX_ANSWER = 1024 * 1024
"""bytes"""
MAX_RETRY_AFTER = 60
"""Seconds: what another system says is not passed on beyond that."""
ATTEMPTS = 3
IDEMPOTENT_METHODS = SAFE_METHODS | {"PUT", "DELETE"}
"""A request with one of them may arrive twice (RFC 9110 section 9.2.2)."""


class NotSetUp(errors.InvalidAPIUsage):
    """This is asked of another system, and the operator of this service has not said where that is (UPSTREAM_URL)."""

    code = 404
    type = "/problems/not-set-up"
    title = "Not set up"
    description = "This service is run without the other system that would know."


class UnusableAnswer(httpx.RequestError):
    """Too large, or not what was asked for."""


def init_app(app: Flask) -> None:
    if url := app.config["UPSTREAM_URL"]:
        app.extensions["upstream"] = httpx.Client(
            base_url=url,
            transport=Transport(),
            headers={"Accept-Encoding": "identity"},  # what is compressed may be larger than it looks
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # those of one user are no matter of another
        )
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)  # below it each call is a line, and its headers


def get(model: type[Model], url: str, **params: str | int) -> Model:
    """Ask for something, which is JSON and as the model describes it. See :func:`call`.

    :raises UnusableAnswer: 502, it is something else.
    """
    answer = call("GET", url, params=params)
    try:
        return model.model_validate_json(answer.content)
    except ValidationError:
        raise UnusableAnswer(f"The answer is not a {model.__name__}.", request=answer.request) from None


def call(method: str, url: str, **options: Any) -> httpx.Response:
    """Call the other system. It is told the reference of the request, as ``X-Request-ID``.

    What cannot have arrived is sent again, and so is what may arrive twice, after the connection was lost.

    :param url: below UPSTREAM_URL, such as ``posts/1/comments``. Quote what a client sent.
    :param options: of :meth:`httpx.Client.request`, such as ``params`` or ``json``.
    :raises NotSetUp: 404, there is no UPSTREAM_URL.
    :raises httpx.RequestError: 502 or 504, there was no answer, or an unusable one.
    :raises httpx.HTTPStatusError: 502 or 503, the answer was an error. One of 4xx is a bug here, if it is not caught.
    """
    client: httpx.Client | None = current_app.extensions.get("upstream")
    if client is None:
        raise NotSetUp
    headers = {"X-Request-ID": errors.reference(request.environ)} if has_request_context() else {}
    wanted = client.build_request(method, url, **{**options, "headers": {**headers, **options.get("headers", {})}})
    again = partial(_may_be_sent_again, method)
    with deadline.within(current_app.config["UPSTREAM_TIMEOUT"]):
        for attempt in stamina.retry_context(on=again, attempts=ATTEMPTS, wait_initial=0.05, wait_max=0.5):
            with attempt:
                answer = _send(client, wanted)
    return answer.raise_for_status()


def _may_be_sent_again(method: str, error: Exception) -> bool:
    """Not after a timeout: there is no time left. Nor what fails the same way again."""
    if isinstance(error, httpx.ConnectError):
        return not isinstance(errors.meaning(error), errors.MisconfiguredGateway)
    lost = isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError)
    return lost and method.upper() in IDEMPOTENT_METHODS


def _send(client: httpx.Client, wanted: httpx.Request) -> httpx.Response:
    """
    :raises UnusableAnswer: it is larger than MAX_ANSWER, or compressed.
    """
    limits = httpx.Timeout(deadline.left(), connect=CONNECT_TIMEOUT)
    wanted.extensions["timeout"] = limits.as_dict()
    answer = client.send(wanted, stream=True)
    body = bytearray()
    with closing(answer):
        compressed = "Content-Encoding" in answer.headers
        for part in () if compressed else answer.iter_bytes():
            body += part
            if len(body) > MAX_ANSWER:
                break
    if compressed or len(body) > MAX_ANSWER:
        raise UnusableAnswer("The answer is too large, or compressed.", request=wanted)
    return httpx.Response(answer.status_code, headers=answer.headers, content=bytes(body), request=wanted)


@errors.explain.register
def _(error: httpx.RequestError) -> HTTPException:
    if isinstance(error, httpx.TimeoutException):
        return GatewayTimeout()
    cause = error.__cause__ and error.__cause__.__context__  # of the operating system; httpcore raises "from None"
    return (errors.meaning(cause) if cause else None) or BadGateway()


@errors.explain.register
def _(error: httpx.HTTPStatusError) -> HTTPException | None:
    status, retry_after = error.response.status_code, error.response.headers.get("Retry-After")
    if status == 503 and retry_after:
        return ServiceUnavailable(retry_after=_seconds(retry_after))
    return None if 400 <= status < 500 else BadGateway()


def _seconds(retry_after: str) -> int:
    """Of a number or a date (RFC 9110 section 10.2.3), from 1 to MAX_RETRY_AFTER."""
    date = parse_date(retry_after)
    if date is None and not retry_after.isdecimal():
        return MAX_RETRY_AFTER
    seconds = int((date - datetime.now(UTC)).total_seconds()) if date else int(retry_after[:9])
    return max(1, min(seconds, MAX_RETRY_AFTER))


class Transport(httpx.HTTPTransport):
    """Its connections keep the deadline. httpx itself limits each read, not all of them: a byte now and then will do.

    No proxy is taken from the environment.
    """

    def __init__(self) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(),  # heeds SSL_CERT_FILE
            max_connections=MAX_CONNECTIONS,
            network_backend=Network(),
        )


class Network(httpcore.NetworkBackend):
    """https://www.encode.io/httpcore/network-backends/"""

    def __init__(self) -> None:
        self._network = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        return Stream(self._network.connect_tcp(host, port, _left(timeout), local_address, socket_options))


class Stream(httpcore.NetworkStream):
    """One connection."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self.close = stream.close  # type: ignore[method-assign]
        self.get_extra_info = stream.get_extra_info  # type: ignore[method-assign]

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(timeout))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return Stream(self._stream.start_tls(ssl_context, server_hostname, _left(timeout)))


def _left(timeout: float | None) -> float:
    """
    :raises httpcore.ReadTimeout: nothing, the deadline has passed.
    """
    if left := deadline.left(timeout or inf):
        return left
    raise httpcore.ReadTimeout("The deadline has passed.")
