"""Documentation for clients: the OpenAPI 3.1 document, and a page below ``/problems/`` for each problem type."""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from importlib.metadata import metadata
from typing import Any, TypeVar

from flask import Blueprint, abort, current_app, render_template, request
from flask.typing import ResponseReturnValue
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from werkzeug import exceptions
from werkzeug.routing import Rule

from .. import errors
from ..core.requests import InvalidJSON, NotJSON
from . import auth, limits
from .problems import InvalidBody, PreconditionRequired
from .schemas import Problem

View = TypeVar("View", bound=Callable[..., Any])
Model = type[BaseModel]
Problems = Sequence[type[exceptions.HTTPException]]
ProblemType = type[errors.InvalidAPIUsage]

ALL_PROBLEMS: Problems = (limits.RateLimited, exceptions.InternalServerError, exceptions.ServiceUnavailable)
WRITE_PROBLEMS: Problems = (auth.TokenRequired, auth.InvalidToken, auth.ReadOnlyToken, errors.InsufficientStorage)
BODY_PROBLEMS: Problems = (InvalidJSON, exceptions.RequestEntityTooLarge, NotJSON, InvalidBody)
HEADERS = {
    "ETag": "Version of the post. Send it as If-Match to update the post, as If-None-Match to fetch only changes.",
    "Link": "URL of the next page (rel=next). Missing on the last page.",
    "Location": "URL of the post.",
}
PATH_SCHEMAS = {
    "int": {"type": "integer", "minimum": 0},
    "float": {"type": "number"},
    "uuid": {"type": "string", "format": "uuid"},
}
"""Schemas of Werkzeug's URL converters. All others are strings."""
VARIABLE = re.compile(r"<(?:(\w+)(?:\([^<>]*\))?:)?(\w+)>")
"""A variable of a URL rule: converter and name."""

bp = Blueprint("problems", __name__, url_prefix="/problems")


@dataclass(frozen=True)
class Operation:
    """What the OpenAPI document says about a view. ``responses`` are the successful ones, by status."""

    summary: str
    responses: Mapping[int, Model | None]
    headers: Sequence[str] = ()
    query: Model | None = None
    body: Model | None = None
    problems: Problems = ()


_operations: dict[Callable[..., Any], Operation] = {}


def describe(*args: Any, **kwargs: Any) -> Callable[[View], View]:
    """Include a view in the OpenAPI document. The parameters are those of :class:`Operation`."""

    def decorate(view: View) -> View:
        _operations[inspect.unwrap(view)] = Operation(*args, **kwargs)
        return view

    return decorate


def openapi(mount_point: str) -> dict[str, Any]:
    """Return the OpenAPI document of the current application."""
    about = metadata(current_app.name)
    paths: dict[str, dict[str, Any]] = {}
    schemas: set[tuple[Model, JsonSchemaMode]] = {(Problem, "serialization")}
    for rule in current_app.url_map.iter_rules():
        if operation := _operations.get(inspect.unwrap(current_app.view_functions[rule.endpoint])):
            path = paths.setdefault(VARIABLE.sub(r"{\2}", rule.rule), {})
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                path[method.lower()] = _operation(operation, rule, method, mount_point)
            schemas.update((model, "serialization") for model in operation.responses.values() if model)
            schemas.update([(operation.body, "validation")] if operation.body else [])
    ordered = sorted(schemas, key=lambda schema: schema[0].__name__)
    components = models_json_schema(ordered, ref_template="#/components/schemas/{model}")[1]["$defs"]
    return {
        "openapi": "3.1.0",
        "info": {"title": about["Name"], "version": about["Version"], "description": about["Summary"]},
        "servers": [{"url": mount_point or "/"}],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(operation: Operation, rule: Rule, method: str, mount_point: str) -> dict[str, Any]:
    writes = method != "GET"
    problems = [*operation.problems, *ALL_PROBLEMS]
    problems += [*(WRITE_PROBLEMS if writes else ()), *(BODY_PROBLEMS if operation.body else ())]
    result: dict[str, Any] = {
        "operationId": rule.endpoint.rpartition(".")[2],
        "summary": operation.summary,
        "parameters": list(_parameters(operation, rule)),
        "responses": {**_successes(operation), **_failures(dict.fromkeys(problems), mount_point)},
    }
    if operation.body:
        result["requestBody"] = {"required": True, "content": _content(operation.body)}
    if writes:
        result["security"] = [{"token": []}]
    return result


def _parameters(operation: Operation, rule: Rule) -> Iterator[dict[str, Any]]:
    for converter, name in VARIABLE.findall(rule.rule):
        schema = PATH_SCHEMAS.get(converter, {"type": "string"})
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    for name, schema in (operation.query.model_json_schema()["properties"] if operation.query else {}).items():
        yield {"name": name, "in": "query", "description": schema.pop("description", ""), "schema": schema}
    etag = {"in": "header", "description": "ETag of the version that you fetched.", "schema": {"type": "string"}}
    if PreconditionRequired in operation.problems:
        yield {"name": "If-Match", "required": True, "example": '"1"', **etag}
    elif 304 in operation.responses:
        yield {"name": "If-None-Match", **etag}


def _successes(operation: Operation) -> dict[str, Any]:
    headers = {
        name: {"description": HEADERS[name], "required": name != "Link", "schema": {"type": "string"}}
        for name in operation.headers
    }
    return {
        str(status): {**_description(status), "headers": headers, "content": _content(model) if model else {}}
        for status, model in operation.responses.items()
    }


def _failures(problems: Iterable[type[exceptions.HTTPException]], mount_point: str) -> dict[str, Any]:
    """Return the error responses by status. Problems with the same status are examples of one response."""
    examples: dict[int, dict[str, Any]] = {}
    for kind in problems:
        problem = errors.to_problem(getattr(kind, "example", kind)(), mount_point)
        value = {**problem, "request_id": "5f0c3f0e5d8e4b6f9a1c2d3e4f5a6b7c"}
        examples.setdefault(problem["status"], {})[problem["title"]] = {"value": value}
    schema = _content(Problem)["application/json"]
    return {
        str(status): {**_description(status), "content": {"application/problem+json": {**schema, "examples": group}}}
        for status, group in sorted(examples.items())
    }


def _description(status: int) -> dict[str, str]:
    return {"description": HTTPStatus(status).phrase}


def _content(model: Model) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}


def problem_types() -> dict[str, ProblemType]:
    """Return the problem types below ``/problems/`` by URL: the subclasses of ``errors.InvalidAPIUsage``."""
    types = {kind.type: kind for kind in _subclasses(errors.InvalidAPIUsage)}
    return {url: types[url] for url in sorted(types) if url.startswith("/problems/")}


def _subclasses(kind: ProblemType) -> Iterator[ProblemType]:
    for child in kind.__subclasses__():
        yield child
        yield from _subclasses(child)


@bp.get("/", strict_slashes=False)
def index() -> ResponseReturnValue:
    """List the problem types."""
    return _respond("index", problems=[_documentation(kind) for kind in problem_types().values()])


@bp.get("/<name>")
def show(name: str) -> ResponseReturnValue:
    """Document a problem type.

    :raise 404: if it does not exist.
    """
    return _respond("show", problem=_documentation(problem_types().get(f"/problems/{name}") or abort(404)))


def _documentation(kind: ProblemType) -> dict[str, Any]:
    example = errors.to_problem(kind.example(), request.script_root)
    members = {name: example[name] for name in ("type", "title", "status")}
    return {**members, "description": kind.documentation or kind.description, "example": example}


def _respond(template: str, **context: Any) -> ResponseReturnValue:
    """Return a page, or JSON for clients that prefer it."""
    if request.accept_mimetypes.best_match(["text/html", "application/json"]) == "application/json":
        return context, {"Vary": "Accept"}
    return render_template(f"problems/{template}.html", **context), {"Vary": "Accept"}
