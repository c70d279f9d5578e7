"""Request bodies: complete, not too large, and strict JSON (RFC 8259)."""

from typing import Any, BinaryIO, NoReturn

import flask
from flask.json.provider import DefaultJSONProvider
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # they change nothing (RFC 9110 section 9.2.1)


def init_app(app: flask.Flask) -> None:
    app.request_class = Request
    app.json = StrictJSONProvider(app)
    app.before_request(reject_large_body)


def reject_large_body() -> None:
    """Raise 413 by the Content-Length (RFC 9110 section 15.5.14), before a view runs and without reading the body."""
    length = "CONTENT_LENGTH" in flask.request.environ and flask.request.content_length
    if length and length > flask.current_app.config["MAX_CONTENT_LENGTH"]:
        raise RequestEntityTooLarge


def complete_body(environ: dict[str, Any], max_content_length: int) -> None:
    """Let Werkzeug notice a body that is cut short, so that it answers 400."""
    if "HTTP_TRANSFER_ENCODING" in environ:
        environ["wsgi.input"] = ChunkedBody(environ["wsgi.input"], max_content_length)
    elif "CONTENT_LENGTH" in environ:
        # Set by Gunicorn. With it, Werkzeug does not notice a body that is shorter than Content-Length.
        environ.pop("wsgi.input_terminated", None)


class ChunkedBody:
    """A chunked body (RFC 9112 section 7.1). Werkzeug would truncate a long one, and not know Gunicorn's errors."""

    def __init__(self, body: BinaryIO, max_content_length: int) -> None:
        self.body = body
        self.remaining = max_content_length

    def read(self, size: int = -1) -> bytes:
        """Read from the body. Raise 413 if it is too long, or OSError, which becomes a 400, if it is malformed."""
        try:
            data = self.body.read(size)
            self.remaining -= len(data)
            is_too_long = self.remaining <= 0 and self.body.read(1)
        except Exception as error:
            raise OSError("The chunked body is malformed or cut short.") from error
        if is_too_long:
            raise RequestEntityTooLarge
        return data


class Request(flask.Request):
    """A request with descriptions for invalid JSON."""

    def on_json_loading_failed(self, e: ValueError | None) -> NoReturn:
        """Raise 415 if the content type is not JSON, and 400 if the body cannot be parsed."""
        if e is None:
            raise UnsupportedMediaType("Send the body as application/json.")
        raise BadRequest("The body is not valid JSON.") from e


class StrictJSONProvider(DefaultJSONProvider):
    """JSON in UTF-8, without NaN and Infinity, and without nesting that is too deep to parse."""

    sort_keys = False

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return super().dumps(obj, **{"allow_nan": False, **kwargs})

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        text = s.decode() if isinstance(s, bytes) else s  # json.loads() would accept UTF-16 and UTF-32
        try:
            return super().loads(text, parse_constant=_reject_constant, **kwargs)
        except RecursionError:
            raise ValueError("nested too deeply") from None


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
