"""Errors for programs: ``application/problem+json``, RFC 9457, and the exceptions to raise for them."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Self
from urllib.parse import quote

from flask import Response, current_app, request
from werkzeug.exceptions import HTTPException, SecurityError, default_exceptions

from .answers import Answer
from .references import reference

Payload = Mapping[str, Any] | Iterable[tuple[str, Any]]

_STOCK = {error.description for error in default_exceptions.values()}


class InvalidAPIUsage(HTTPException):
    """An error that the API's client can do something about.

    As in Flask's documentation, "Returning API Errors as JSON".

    A service's catalogue of errors are subclasses with a ``type``, ``title`` and ``code`` of their own::

        class OutOfStock(InvalidAPIUsage):
            code = 409
            type = "/problems/out-of-stock"
            title = "Out of stock"
            description = "There is not enough of it. Order less, or later."

    :param message: what happened and what to do, for the client's developer: the ``detail`` of the problem. The
        ``description`` of the class where it is left out.
    :param status_code: any status from 400 to 599.
    :param payload: extension members of the problem.
    :raises ValueError: the status is not that of an error.
    """

    status_code: int = 400
    type: str = "about:blank"
    """A URL. One that starts with ``/`` is below the mount point of the application."""
    title: str | None = None
    headers: Mapping[str, str] = {}
    """More headers of the answer."""

    def __init__(
        self, message: str | None = None, status_code: int | None = None, payload: Payload | None = None
    ) -> None:
        super().__init__(message)
        self.message = self.description
        if status_code is None:
            status_code = self.code or self.status_code  # a subclass may set either: Werkzeug's name or Flask's
        self.code = self.status_code = status_code
        self.payload = payload
        if not 400 <= self.code <= 599:
            raise ValueError(f"{self.code} is not the status of an error: use one from 400 to 599.")

    @classmethod
    def example(cls) -> Self:
        """One of them, for documentation. A subclass whose ``__init__`` needs something has an example of its own."""
        return cls()

    def get_headers(self, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
        return [*super().get_headers(*args, **kwargs), *self.headers.items()]

    def to_dict(self) -> dict[str, Any]:
        """The message as ``message``, which becomes the ``detail`` of the problem, and the payload's members."""
        return {**dict(self.payload or ()), "message": self.message}


class InvalidBody(InvalidAPIUsage):
    """422: the body is well-formed, but not what was asked for.

    :param errors: for each wrong place its path in the body, such as ``("lines", 0, "price")``, and what is wrong.
        The first 100 are told.
    """

    code = 422

    def __init__(self, errors: Iterable[tuple[Iterable[str | int], str]]) -> None:
        members = [{"detail": detail, "pointer": pointer(path)} for path, detail in islice(errors, 100)]
        super().__init__("The body is not what is expected here; see errors.", payload={"errors": members})

    @classmethod
    def example(cls) -> Self:
        return cls([(("title",), "Field required")])


def pointer(path: Iterable[str | int]) -> str:
    """A path in a JSON document as a JSON Pointer in URI fragment form, ``#/lines/0/price`` (RFC 6901 section 6)."""
    return "#" + "".join("/" + quote(str(part).replace("~", "~0").replace("/", "~1"), safe="~") for part in path)


def problem(error: HTTPException) -> Response:
    """The renderer for programs: the error as a problem detail, with its reference as a member."""
    told = members(error, request.environ.get("SCRIPT_NAME", ""))
    told["reference"] = reference(request.environ)
    return Answer(current_app.json.dumps(told) + "\n", error.code, content_type="application/problem+json")


def members(error: HTTPException, mount_point: str = "") -> dict[str, Any]:
    """The members of the problem detail that an error is, without its reference. The standard ones come first."""
    extensions: dict[str, Any] = {}
    kind, title, detail = "about:blank", None, sentence(error)
    if isinstance(error, InvalidAPIUsage):
        extensions = error.to_dict()
        kind, title, detail = error.type, error.title, extensions.pop("message", detail)
    if kind.startswith("/"):
        kind = mount_point + kind
    standard: dict[str, Any] = {"type": kind, "title": title or error.name, "status": error.code}
    if detail:
        standard["detail"] = detail
    return {**standard, **extensions, **standard} if extensions else standard


def sentence(error: HTTPException) -> str | None:
    """What the application itself says of an error, as in ``abort(404, "There is no such post.")``.

    None for Werkzeug's stock sentences, which say no more than the status does, and for the one that repeats the Host.
    """
    if error.description is None or isinstance(error, SecurityError):
        return None
    said = str(error.description)
    return None if said in _STOCK else said
