"""Documentation for clients: the OpenAPI 3.1 document, and a page below ``/problems/`` for each problem type."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
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
Responses = Mapping[int, Model | None]
Problems = Sequence[type[HTTPException]]
ProblemType = type[errors.InvalidAPIUsage]

VARIABLE = re.compile(r"<(?:(\w+)(?:\([^<>]*\))?:)?(\w+)>")
"""A variable of a URL rule: converter and name."""
SCHEMA = "#/components/schemas/{model}"
"""The place of a model in the document."""
ETAG = {"schema": {"type": "string"}, "example": '"1"'}

bp = Blueprint("problems", __name__, url_prefix="/problems")

_operations: dict[Callable[..., Any], dict[str, Any]] = {}
_models: set[Model] = set()


def describe(
    responses: Responses, query: Model | None = None, body: Model | None = None, problems: Problems = ()
) -> Callable[[View], View]:
    """Include a view in the OpenAPI document. The first line of its docstring is the summary.

    :param responses: the model of each successful response, by status.
    :param problems: the errors of the view. Those of every view, of a query and of a JSON body are added.
    """
    problems = [*problems, InternalServerError, ServiceUnavailable]
    operation: dict[str, Any] = {"parameters": list(_parameters(query, responses, problems))}
    if query:
        problems += [InvalidQuery]
    if body:
        problems += [InvalidJSON, RequestEntityTooLarge, NotJSON, InvalidBody]
        operation["requestBody"] = {"required": True, "content": _content(body)}
    if TokenRequired in problems:
        operation["security"] = [{"token": []}]
    operation["responses"] = _responses(responses, problems)

    def decorate(view: View) -> View:
        summary = (view.__doc__ or "").partition("\n")[0]
        _operations[inspect.unwrap(view)] = {"operationId": view.__name__, "summary": summary, **operation}
        return view

    return decorate


def _parameters(query: Model | None, responses: Responses, problems: Problems) -> Iterator[dict[str, Any]]:
    if query:
        for name, schema in query.model_json_schema()["properties"].items():
            yield {"name": name, "in": "query", "schema": schema}
    if PreconditionRequired in problems:
        yield {"name": "If-Match", "in": "header", "required": True, **ETAG}
    if 304 in responses:
        yield {"name": "If-None-Match", "in": "header", **ETAG}


def _responses(models: Responses, problems: Problems) -> dict[str, Any]:
    """Return the responses by status. The description of an error is the titles of its problem types."""
    responses: dict[str, Any] = {}
    for status, model in models.items():
        responses[str(status)] = {"description": HTTPStatus(status).phrase, "content": _content(model) if model else {}}
    for kind in problems:
        code = str(kind.code or getattr(kind, "status_code", 500))
        title = getattr(kind, "title", None) or HTTPStatus(int(code)).phrase
        if code in responses:
            title = f"{responses[code]['description']}; {title}"
        responses[code] = {"description": title, "content": _content(Problem, "application/problem+json")}
    return responses


def _content(model: Model, media_type: str = "application/json") -> dict[str, Any]:
    _models.add(model)
    return {media_type: {"schema": {"$ref": SCHEMA.format(model=model.__name__)}}}


def openapi(mount_point: str) -> dict[str, Any]:
    """Return the OpenAPI document of the current application."""
    paths: dict[str, dict[str, Any]] = {}
    for rule in current_app.url_map.iter_rules():
        operation = _operations.get(inspect.unwrap(current_app.view_functions[rule.endpoint]))
        if operation:
            parameters = [*_path_parameters(rule.rule), *operation["parameters"]]
            path = paths.setdefault(VARIABLE.sub(r"{\2}", rule.rule), {})
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                path[method.lower()] = {**operation, "parameters": parameters}
    schemas = models_json_schema([(model, "serialization") for model in _models], ref_template=SCHEMA)[1]["$defs"]
    about = metadata(current_app.name)
    return {
        "openapi": "3.1.0",
        "info": {"title": about["Name"], "version": about["Version"], "description": about["Summary"]},
        "servers": [{"url": mount_point or "/"}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _path_parameters(rule: str) -> Iterator[dict[str, Any]]:
    for converter, name in VARIABLE.findall(rule):
        schema = {"type": "integer" if converter == "int" else "string"}
        yield {"name": name, "in": "path", "required": True, "schema": schema}


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
