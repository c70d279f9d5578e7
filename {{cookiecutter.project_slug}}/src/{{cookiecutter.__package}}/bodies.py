"""Request bodies: whole, not too large, and JSON as RFC 8259 has it. Anything else never reaches a view as data."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

import flask
from flask.json.provider import DefaultJSONProvider
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def init_app(app: flask.Flask) -> None:
    app.request_class = Request
    app.json = StrictJSON(app)
    app.before_request(refuse_large_body)
    app.wsgi_app = WholeBodies(app.wsgi_app, app.config["MAX_CONTENT_LENGTH"])  # type: ignore[method-assign]


def refuse_large_body() -> None:
    """Before any view and on every URL: 413 by what the header says, the body unread (RFC 9110 section 15.5.14)."""
    length = flask.request.environ.get("CONTENT_LENGTH")
    if length and is_too_large(length, flask.current_app.config["MAX_CONTENT_LENGTH"]):
        raise RequestEntityTooLarge


def is_too_large(length: str, limit: int) -> bool:
    """Whether a Content-Length is above a limit, in bytes. One that is no number is as good as none."""
    return length.isdecimal() and int(length[:19]) > limit


class WholeBodies:
    """WSGI middleware (PEP 3333) that lets Werkzeug see when a body is cut short, which then is a 400.

    :param application: what to wrap.
    :param limit: of a body, in bytes.
    """

    def __init__(self, application: "WSGIApplication", limit: int) -> None:
        self.application = application
        self.limit = limit

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if "HTTP_TRANSFER_ENCODING" in environ:
            environ["wsgi.input"] = ChunkedBody(environ["wsgi.input"], self.limit)
        elif "CONTENT_LENGTH" in environ:
            # Of gunicorn. Werkzeug would take what there is for the whole, and not count.
            environ.pop("wsgi.input_terminated", None)
        return self.application(environ, start_response)


class ChunkedBody:
    """A chunked body (RFC 9112 section 7.1): 413 above the limit, 400 where it is cut short or malformed.

    Werkzeug makes a 400 of any :exc:`OSError`. The errors of gunicorn's parser are classes of its own.
    """

    def __init__(self, body: BinaryIO, limit: int) -> None:
        self.body = body
        self.left = limit

    def read(self, size: int = -1) -> bytes:
        """
        :raises RequestEntityTooLarge: there is more than the limit. Werkzeug would cut it off there.
        :raises OSError: the body is cut short or malformed.
        """
        data = self._read(size)
        self.left -= len(data)
        if self.left <= 0 and self._read(1):
            raise RequestEntityTooLarge
        return data

    def _read(self, size: int) -> bytes:
        try:
            return self.body.read(size)
        except Exception as error:
            raise OSError("The chunked body is broken.") from error


class NotJSON(UnsupportedMediaType):
    description = "Send the body as application/json."


class InvalidJSON(BadRequest):
    description = "The body is not valid JSON."


class Request(flask.Request):
    """A request that tells the API's client why its JSON is refused."""

    def on_json_loading_failed(self, e: ValueError | None) -> NoReturn:
        """
        :raises UnsupportedMediaType: the body does not say that it is JSON; there is no error to tell.
        :raises BadRequest: it is not.
        """
        if e is None:
            raise NotJSON
        raise InvalidJSON from e


class StrictJSON(DefaultJSONProvider):
    """UTF-8, no NaN or Infinity, in or out, and nothing nested too deeply to be read."""

    sort_keys = False

    def __init__(self, app: flask.Flask) -> None:
        super().__init__(app)
        self._encode = json.JSONEncoder(default=self.default, allow_nan=False).encode

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        if not kwargs:
            return self._encode(obj)  # json.dumps would make an encoder for each call
        return super().dumps(obj, **{"allow_nan": False, **kwargs})

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        text = s.decode() if isinstance(s, bytes) else s  # json.loads would take UTF-16 and UTF-32 as well
        try:
            return json.loads(text, parse_constant=_refuse_constant, **kwargs)
        except RecursionError:
            raise ValueError("nested too deeply") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
