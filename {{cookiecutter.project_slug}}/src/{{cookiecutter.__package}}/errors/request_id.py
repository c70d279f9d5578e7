"""The request ID, as shown on error pages, in the log and in Sentry."""

import re
import secrets
from typing import Any

ENVIRON_KEY = __name__  # of the WSGI environ
_is_valid = re.compile(r"[A-Za-z0-9._-]{1,128}").fullmatch


def request_id(environ: dict[str, Any]) -> str:
    """Return the ID of a request: its ``X-Request-ID`` header, or a random one.

    It is stored in the WSGI environ, so every caller gets the same value.
    """
    cached: str | None = environ.get(ENVIRON_KEY)
    if cached is None:
        header = environ.get("HTTP_X_REQUEST_ID", "")
        cached = header if _is_valid(header) else secrets.token_hex(16)
        environ[ENVIRON_KEY] = environ["HTTP_X_REQUEST_ID"] = cached
    return cached
