"""What the types of problems mean (RFC 9457 section 4): each has a page, made from its class.

A type is a subclass of :class:`errors.InvalidAPIUsage` whose ``type`` is below ``/problems/``. Its docstring explains
it, and its members are those of an answer.
"""

from typing import Any

from flask import Blueprint, abort, render_template, request
from flask.typing import ResponseReturnValue

from . import errors

bp = Blueprint("problems", __name__, url_prefix="/problems")

Type = type[errors.InvalidAPIUsage]


def catalogue() -> dict[str, Type]:
    """Every type of problem that the service can answer, by its URL."""
    kinds = sorted(_with_subclasses(errors.InvalidAPIUsage), key=lambda kind: kind.type)
    return {kind.type: kind for kind in kinds if kind.type.startswith("/problems/")}


def _with_subclasses(kind: Type) -> list[Type]:
    return [kind, *(below for child in kind.__subclasses__() for below in _with_subclasses(child))]


@bp.get("/", strict_slashes=False)
def index() -> ResponseReturnValue:
    return _answer("index", problems=[_described(kind) for kind in catalogue().values()])


@bp.get("/<name>")
def show(name: str) -> ResponseReturnValue:
    return _answer("show", problem=_described(catalogue().get(f"/problems/{name}") or abort(404)))


def _described(kind: Type) -> dict[str, Any]:
    example = errors.members(kind.example(), request.script_root)
    members = {name: example[name] for name in ("type", "title", "status")}
    description = " ".join((kind.__doc__ or "").replace("``", "").split())
    return {**members, "description": description, "example": example}


def _answer(template: str, **described: Any) -> ResponseReturnValue:
    """A page for people, JSON for programs."""
    if request.accept_mimetypes.best_match(["text/html", "application/json"]) == "application/json":
        return described, {"Vary": "Accept"}
    return render_template(f"problems/{template}.html", **described), {"Vary": "Accept"}
