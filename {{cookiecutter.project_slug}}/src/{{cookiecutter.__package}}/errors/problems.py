"""Errors for programs: ``application/problem+json`` (RFC 9457), and the exceptions to raise for them."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any
from urllib.parse import quote

from flask import Response, current_app, request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException, SecurityError, default_exceptions

from .request_id import request_id

Payload = Mapping[str, Any] | Iterable[tuple[str, Any]] | None

_DEFAULT_DESCRIPTIONS = {error.description for error in default_exceptions.values()}


class InvalidAPIUsage(HTTPException):
    """An error that the client of the API can correct.

    It is the class of Flask's documentation, "Returning API Errors as JSON". README.md shows a subclass.

    :param message: what happened and what to do, for the developer of the client: the ``detail`` of the problem.
        Defaults to the ``description`` of the class.
    :param status_code: any status from 400 to 599.
    :param payload: extension members of the problem.
    :raises ValueError: if the status is not an error status.
    """

    status_code: int = 400
    type: str = "about:blank"  # URL; one that starts with / is relative to the path of the application
    title: str | None = None
    headers: Mapping[str, str] = {}
    documentation: str = ""  # text of the documentation page of the type

    def __init__(self, message: str | None = None, status_code: int | None = None, payload: Payload = None) -> None:
        super().__init__(message)
        self.message = self.description
        # A subclass may set Werkzeug's name or Flask's.
        self.code = self.status_code = status_code or self.code or self.status_code
        self.payload = payload
        if not 400 <= self.code <= 599:
            raise ValueError(f"{self.code} is not an error status: use one from 400 to 599.")

    def get_headers(self, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
        return [*super().get_headers(*args, **kwargs), *self.headers.items()]

    def to_dict(self) -> dict[str, Any]:
        """Return ``message``, which becomes the ``detail`` of the problem, and the members of the payload."""
        return {**dict(self.payload or ()), "message": self.message}


class InvalidBody(InvalidAPIUsage):
    """422: the body is well-formed, but its content is invalid.

    :param errors: for each error the path in the body, such as ``("lines", 0, "price")``, and a message.
        Only the first 100 are included.
    """

    code = 422

    def __init__(self, errors: Iterable[tuple[Iterable[str | int], str]]) -> None:
        members = [{"detail": message, "pointer": to_pointer(path)} for path, message in islice(errors, 100)]
        super().__init__("The body is invalid; see errors.", payload={"errors": members})


def to_pointer(path: Iterable[str | int]) -> str:
    """Return a path as a JSON Pointer in URI fragment form, such as ``#/lines/0/price`` (RFC 6901 section 6)."""
    return "#" + "".join("/" + quote(str(part).replace("~", "~0").replace("/", "~1"), safe="~") for part in path)


class ErrorResponse(Response):
    """A response without a ``Location``. Werkzeug's copy of the headers for it takes 6 % of the time of a 404."""

    def get_wsgi_headers(self, environ: dict[str, Any]) -> Headers:
        return self.headers


def render_problem(error: HTTPException) -> Response:
    """Render an error as a problem detail. The request ID is the member ``request_id``."""
    problem = to_problem(error, request.environ.get("SCRIPT_NAME", ""))
    problem["request_id"] = request_id(request.environ)
    return ErrorResponse(current_app.json.dumps(problem) + "\n", error.code, content_type="application/problem+json")


def to_problem(error: HTTPException, mount_point: str = "") -> dict[str, Any]:
    """Return the members of the problem detail for an error, without ``request_id``. Standard members come first."""
    extensions: dict[str, Any] = {}
    type_, title, detail = "about:blank", None, description(error)
    if isinstance(error, InvalidAPIUsage):
        extensions = error.to_dict()
        type_, title, detail = error.type, error.title, extensions.pop("message", detail)
    if type_.startswith("/"):
        type_ = mount_point + type_
    standard: dict[str, Any] = {"type": type_, "title": title or error.name, "status": error.code}
    if detail:
        standard["detail"] = detail
    return {**standard, **extensions, **standard}


def description(error: HTTPException) -> str:
    """Return the description passed to ``abort()``, or ``""`` for Werkzeug's default description.

    The description of a ``SecurityError`` repeats the Host header, so it is not returned either.
    """
    text = str(error.description or "")
    return "" if isinstance(error, SecurityError) or text in _DEFAULT_DESCRIPTIONS else text
