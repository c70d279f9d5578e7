"""The reference of a request: what the visitor reads out, the log shows and Sentry finds."""

import re
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_VALID = re.compile(r"[A-Za-z0-9._-]{1,128}").fullmatch


_KEPT = __name__


def reference(environ: "WSGIEnvironment") -> str:
    """The request's own ``X-Request-ID`` where it is 1 to 128 of ``A-Za-z0-9._-``, otherwise one made for it.

    It is kept in the environment, so that everybody who asks is told the same.
    """
    kept: str | None = environ.get(_KEPT)
    if kept is None:
        given = environ.get("HTTP_X_REQUEST_ID", "")
        kept = given if _VALID(given) else secrets.token_hex(16)
        environ[_KEPT] = environ["HTTP_X_REQUEST_ID"] = kept
    return kept
