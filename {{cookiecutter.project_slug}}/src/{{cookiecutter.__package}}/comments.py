"""The example's call of another service over HTTP, the upstream service at COMMENTS_URL. https://www.python-httpx.org"""

import time
from datetime import datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import cast

import httpx
import stamina
from flask import current_app, request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import BadGateway, GatewayTimeout, HTTPException

from . import errors

CONNECT_TIMEOUT = 3  # seconds
READ_TIMEOUT = 5  # seconds between two parts of a response
TOTAL_TIMEOUT = 10  # seconds; later there is no retry, and reading a body ends
MAX_RESPONSE = 1024 * 1024  # bytes


class Comment(BaseModel):
    author: str
    body: str
    published: datetime


class CommentList(BaseModel):
    comments: list[Comment]


class UpstreamNotConfigured(errors.InvalidAPIUsage):
    code = 404
    type = "/problems/upstream-not-configured"
    title = "Upstream service not configured"
    description = "No upstream service is configured."
    documentation = "The data is in an upstream service, and the operator has not configured its URL (COMMENTS_URL)."


class InvalidUpstreamResponse(httpx.RequestError):
    """The response of the upstream service is too large, or does not match the model."""


def get_comments(post_id: int) -> CommentList:
    """Fetch the comments on a post.

    :raises UpstreamNotConfigured: 404, COMMENTS_URL is not set.
    :raises httpx.RequestError: 502 or 504, there is no valid response.
    :raises httpx.HTTPStatusError: 502 or 503, the response is an error.
    """
    try:
        return CommentList.model_validate_json(_get(f"posts/{post_id}/comments"))
    except ValidationError:
        raise InvalidUpstreamResponse("The response does not match the model") from None


def _should_retry(error: Exception) -> bool:
    lost = isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError)
    return lost and not isinstance(errors.to_http_error(error), errors.MisconfiguredGateway)


@stamina.retry(on=_should_retry, attempts=3, timeout=TOTAL_TIMEOUT, wait_initial=0.05, wait_max=0.5)
def _get(path: str) -> bytes:
    """Send a GET request with the current request ID. Connection errors are retried, timeouts are not."""
    headers = {"X-Request-ID": errors.request_id(request.environ)}
    with _client().stream("GET", path, headers=headers) as response:
        return _read(response.raise_for_status())


def _client() -> httpx.Client:
    if not current_app.config["COMMENTS_URL"]:
        raise UpstreamNotConfigured
    if "comments" not in current_app.extensions:
        client = httpx.Client(
            base_url=current_app.config["COMMENTS_URL"],
            timeout=httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT),
            headers={"Accept-Encoding": "identity"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # store no cookies: users share the client
            trust_env=False,  # no proxy from the environment
            verify=httpx.create_ssl_context(),  # but SSL_CERT_FILE
        )
        current_app.extensions.setdefault("comments", client)
    return cast(httpx.Client, current_app.extensions["comments"])


def _read(response: httpx.Response) -> bytes:
    """Read the body, at most MAX_RESPONSE bytes in TOTAL_TIMEOUT seconds."""
    body, expires_at = bytearray(), time.monotonic() + TOTAL_TIMEOUT
    for chunk in response.iter_raw():  # not decompressed, because its size would be unknown
        body += chunk
        if len(body) > MAX_RESPONSE:
            raise InvalidUpstreamResponse("The response is too large")
        if time.monotonic() > expires_at:
            raise httpx.ReadTimeout("The response is too slow")
    return bytes(body)


@errors.to_http_error.register
def _(error: httpx.RequestError) -> HTTPException:
    if isinstance(error, httpx.TimeoutException):
        return GatewayTimeout()
    cause = error.__cause__  # of httpcore, caused by the error of the operating system
    return (errors.classify(cause) if cause else None) or BadGateway()


@errors.to_http_error.register
def _(error: httpx.HTTPStatusError) -> HTTPException:
    if error.response.status_code in (408, 425, 429, 503):
        return errors.service_unavailable()
    return BadGateway()
