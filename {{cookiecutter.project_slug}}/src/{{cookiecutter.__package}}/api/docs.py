"""Documentation for clients: the OpenAPI 3.1 document, and a page below ``/problems/`` for each problem type."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from importlib.metadata import metadata
from typing import Any, TypeVar

from flask import Blueprint, abort, current_app, render_template
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from werkzeug.exceptions import HTTPException, InternalServerError, RequestEntityTooLarge, ServiceUnavailable

from .. import errors
from ..core.requests import InvalidJSON, NotJSON
from .auth import TokenRequired
from .problems import InvalidBody, InvalidQuery, PreconditionRequired
from .schemas import Problem

View = TypeVar("View", bound=Callable[..., Any])
Model = type[BaseModel]
ProblemType = type[errors.InvalidAPIUsage]

VARIABLE = re.compile(r"<(?:(\w+)(?:\([^<>]*\))?:)?(\w+)>")
"""A variable of a URL rule: converter and name."""

bp = Blueprint("problems", __name__, url_prefix="/problems")


@dataclass(frozen=True)
class Operation:
    """What the OpenAPI document says about a view. The errors of every view, query and body are added to ``problems``.

    TokenRequired in ``problems`` adds the token to the document, PreconditionRequired the header If-Match.
    """

    responses: Mapping[int, Model | None]  # the successful ones, by status
    query: Model | None = None
    body: Model | None = None
    problems: Sequence[type[HTTPException]] = ()


_operations: dict[Callable[..., Any], Operation] = {}


def describe(*args: Any, **kwargs: Any) -> Callable[[View], View]:
    """Include a view in the OpenAPI document, with the first line of its docstring as the summary.

    The parameters are those of :class:`Operation`.
    """

    def decorate(view: View) -> View:
        _operations[inspect.unwrap(view)] = Operation(*args, **kwargs)
        return view

    return decorate


def openapi(mount_point: str) -> dict[str, Any]:
    """Return the OpenAPI document of the current application."""
    paths: dict[str, dict[str, Any]] = {}
    models: set[Model] = {Problem}
    for rule in current_app.url_map.iter_rules():
        view = inspect.unwrap(current_app.view_functions[rule.endpoint])
        if operation := _operations.get(view):
            path = paths.setdefault(VARIABLE.sub(r"{\2}", rule.rule), {})
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                path[method.lower()] = _describe(operation, view, rule.rule)
            models.update(model for model in (operation.body, *operation.responses.values()) if model)
    schemas = models_json_schema(
        [(model, "serialization") for model in models], ref_template="#/components/schemas/{model}"
    )[1]
    about = metadata(current_app.name)
    return {
        "openapi": "3.1.0",
        "info": {"title": about["Name"], "version": about["Version"], "description": about["Summary"]},
        "servers": [{"url": mount_point or "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _describe(operation: Operation, view: Callable[..., Any], rule: str) -> dict[str, Any]:
    problems = [*operation.problems, InternalServerError, ServiceUnavailable]
    result: dict[str, Any] = {"operationId": view.__name__, "summary": (view.__doc__ or "").partition("\n")[0]}
    if operation.query:
        problems += [InvalidQuery]
    if operation.body:
        problems += [InvalidJSON, RequestEntityTooLarge, NotJSON, InvalidBody]
        result["requestBody"] = {"required": True, "content": _content(operation.body)}
    if TokenRequired in problems:
        result["security"] = [{"token": []}]
    result["parameters"] = list(_parameters(operation, rule))
    result["responses"] = _responses(operation.responses, problems)
    return result


def _parameters(operation: Operation, rule: str) -> Iterator[dict[str, Any]]:
    for converter, name in VARIABLE.findall(rule):
        schema = {"type": "integer" if converter == "int" else "string"}
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    for name, schema in (operation.query.model_json_schema()["properties"] if operation.query else {}).items():
        yield {"name": name, "in": "query", "schema": schema}
    etag = {"in": "header", "schema": {"type": "string"}, "example": '"1"'}
    if PreconditionRequired in operation.problems:
        yield {"name": "If-Match", "required": True, **etag}
    if 304 in operation.responses:
        yield {"name": "If-None-Match", **etag}


def _responses(models: Mapping[int, Model | None], problems: Sequence[type[HTTPException]]) -> dict[str, Any]:
    """Return the responses by status. The description of an error has the titles of its problem types."""
    responses: dict[str, Any] = {}
    for status, model in models.items():
        content = _content(model) if model else {}
        responses[str(status)] = {"description": HTTPStatus(status).phrase, "content": content}
    for status in sorted({problem.code or 500 for problem in problems}):
        titles = {getattr(problem, "title", None) or problem().name for problem in problems if problem.code == status}
        content = _content(Problem, "application/problem+json")
        responses[str(status)] = {"description": "; ".join(sorted(titles)), "content": content}
    return responses


def _content(model: Model, media_type: str = "application/json") -> dict[str, Any]:
    return {media_type: {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}


def problem_types() -> dict[str, ProblemType]:
    """Return the problem types below ``/problems/`` by URL: the subclasses of ``errors.InvalidAPIUsage``."""
    types = {kind.type: kind for kind in _subclasses(errors.InvalidAPIUsage)}
    return {url: types[url] for url in sorted(types) if url.startswith("/problems/")}


def _subclasses(kind: ProblemType) -> Iterator[ProblemType]:
    for child in kind.__subclasses__():
        yield child
        yield from _subclasses(child)


@bp.get("/", strict_slashes=False)
def index() -> str:
    """List the problem types."""
    return render_template("problems/index.html", problems=problem_types().values())


@bp.get("/<name>")
def show(name: str) -> str:
    """Document a problem type.

    :raise 404: if it does not exist.
    """
    problem = problem_types().get(f"/problems/{name}") or abort(404)
    return render_template("problems/show.html", problem=problem)
