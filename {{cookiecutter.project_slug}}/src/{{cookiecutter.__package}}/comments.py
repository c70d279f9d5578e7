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

TIMEOUT = httpx.Timeout(5, connect=3)  # seconds between two parts of a response, seconds to connect
TOTAL_TIMEOUT = 10  # seconds to read a response; no retry begins later


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
    description = "The data is in an upstream service, whose URL (COMMENTS_URL) is not configured."


@stamina.retry(on=(httpx.NetworkError, httpx.RemoteProtocolError), attempts=3, timeout=TOTAL_TIMEOUT, wait_max=0.5)
def get_comments(post_id: int) -> CommentList:
    """Fetch the comments on a post. Connection errors are retried, timeouts are not.

    :raises UpstreamNotConfigured: 404, COMMENTS_URL is not set.
    :raises httpx.HTTPError: 502, 503 or 504, there is no valid response.
    """
    body, expires_at = bytearray(), time.monotonic() + TOTAL_TIMEOUT
    headers = {"X-Request-ID": errors.request_id(request.environ), "Accept-Encoding": "identity"}
    with _client().stream("GET", f"posts/{post_id}/comments", headers=headers) as response:
        for chunk in response.raise_for_status().iter_raw():  # not decompressed: its size would be unknown
            body += chunk
            if len(body) > 1024 * 1024:
                raise httpx.RequestError("The response is larger than 1 MB")
            if time.monotonic() > expires_at:
                raise httpx.ReadTimeout("The response is too slow")
    try:
        return CommentList.model_validate_json(body)
    except ValidationError:
        raise httpx.RequestError("The response does not match the model") from None


def _client() -> httpx.Client:
    url = current_app.config["COMMENTS_URL"]
    if not url:
        raise UpstreamNotConfigured
    if "comments" not in current_app.extensions:
        cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))  # store none: users share the client
        current_app.extensions["comments"] = httpx.Client(base_url=url, timeout=TIMEOUT, cookies=cookies)
    return cast(httpx.Client, current_app.extensions["comments"])


@errors.to_http_error.register
def _(error: httpx.HTTPError) -> HTTPException:
    if isinstance(error, httpx.HTTPStatusError) and error.response.status_code in (408, 425, 429, 503):
        return errors.service_unavailable()
    if isinstance(error, httpx.TimeoutException):
        return GatewayTimeout()
    cause: BaseException | None = error
    while cause and not isinstance(cause, OSError):
        cause = cause.__context__  # httpcore removes __cause__, which errors.classify() follows
    return (errors.to_http_error(cause) if cause else None) or BadGateway()
