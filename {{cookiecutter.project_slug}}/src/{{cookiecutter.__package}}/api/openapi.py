"""The API in OpenAPI 3.1, from the models that validate and the classes of its problems.

https://spec.openapis.org/oas/v3.1.1, built with https://apispec.readthedocs.io
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from importlib.metadata import metadata
from typing import Any, TypeVar

from apispec import APISpec
from flask import Flask
from pydantic import BaseModel
from werkzeug import exceptions
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Rule

from .. import bodies, errors, limits, posts, tokens
from .problems import InvalidBody, MatchRequired
from .schemas import Problem

View = TypeVar("View", bound=Callable[..., Any])
Model = type[BaseModel]
Problems = Sequence[type[HTTPException]]

ALWAYS: Problems = (limits.RateLimited, exceptions.InternalServerError, exceptions.ServiceUnavailable)
WRITING: Problems = (tokens.TokenRequired, tokens.InvalidToken, tokens.ReadOnlyToken, errors.InsufficientStorage)
WITH_BODY: Problems = (bodies.InvalidJSON, exceptions.RequestEntityTooLarge, bodies.NotJSON, InvalidBody)
HEADERS = {
    "ETag": "The version of the post: sent as If-Match to change it, as If-None-Match to read it only if it is new.",
    "Link": "rel=next leads to the next page. There is none on the last.",
    "Location": "Where the post is.",
}
_operations: dict[Callable[..., Any], "operation"] = {}


@dataclass(frozen=True)
class operation:  # noqa: N801
    """Describes a view, whose docstring is the summary. The view itself stays as it is.

    :param answers: statuses of success, and what is in the body.
    :param headers: of :data:`HEADERS`, those of a success.
    :param problems: those that not every operation like this has.
    """

    answers: Mapping[int, Model | None]
    headers: Sequence[str] = ()
    query: Model | None = None
    body: Model | None = None
    problems: Problems = ()

    def __call__(self, view: View) -> View:
        _operations[view] = self
        return view


@lru_cache(maxsize=4)
def document(app: Flask, mount_point: str) -> dict[str, Any]:
    """The document: every view of this application that is described. Made once, for it takes its time."""
    about, servers = metadata(app.name), [{"url": mount_point or "/"}]
    spec = APISpec(about["Name"], about["Version"], "3.1.0", info={"description": about["Summary"]}, servers=servers)
    spec.components.security_scheme("token", {"type": "http", "scheme": "bearer"})
    for rule in app.url_map.iter_rules():
        if described := _operations.get(view := app.view_functions[rule.endpoint]):
            methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
            written = _written(spec, described, rule, view, mount_point)
            spec.path(
                re.sub(r"<[^>]*?(\w+)>", r"{\1}", rule.rule), operations={method.lower(): written for method in methods}
            )
    return spec.to_dict()


def _written(spec: APISpec, described: operation, rule: Rule, view: object, mount_point: str) -> dict[str, Any]:
    writes = "GET" not in (rule.methods or ())
    problems = [*described.problems, *ALWAYS, *(WRITING if writes else ()), *(WITH_BODY if described.body else ())]
    written: dict[str, Any] = {
        "operationId": rule.endpoint.rpartition(".")[2],
        "summary": (view.__doc__ or "").strip().splitlines()[0],
        "parameters": [*_of_path(rule), *_of_query(described), *_of_headers(described)],
        "responses": {**_successes(spec, described), **_failures(spec, dict.fromkeys(problems), mount_point)},
    }
    if described.body:
        written["requestBody"] = {"required": True, "content": _json(spec, described.body, "validation")}
    if writes:
        written["security"] = [{"token": []}]
    return written


def _of_path(rule: Rule) -> list[dict[str, Any]]:
    schema = {"type": "integer", "minimum": 1, "maximum": posts.MAX_ID}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in rule.arguments]


def _of_query(described: operation) -> list[dict[str, Any]]:
    properties = described.query.model_json_schema()["properties"] if described.query else {}
    return [
        {"name": name, "in": "query", "schema": schema, "description": schema.pop("description", "")}
        for name, schema in properties.items()
    ]


def _of_headers(described: operation) -> list[dict[str, Any]]:
    etag = {"in": "header", "description": "The ETag of the version that you have.", "schema": {"type": "string"}}
    if MatchRequired in described.problems:
        return [{"name": "If-Match", "required": True, "example": '"1"', **etag}]
    return [{"name": "If-None-Match", **etag}] if 304 in described.answers else []


def _successes(spec: APISpec, described: operation) -> dict[str, Any]:
    headers = {
        name: {"description": HEADERS[name], "required": name != "Link", "schema": {"type": "string"}}
        for name in described.headers
    }
    return {
        str(status): {
            "description": HTTPStatus(status).phrase,
            "headers": headers,
            "content": _json(spec, model, "serialization") if model else {},
        }
        for status, model in described.answers.items()
    }


def _failures(spec: APISpec, problems: Iterable[type[HTTPException]], mount_point: str) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for members in (errors.members(getattr(kind, "example", kind)(), mount_point) for kind in problems):
        content = _json(spec, Problem, "serialization", "application/problem+json")
        description = HTTPStatus(members["status"]).phrase
        response = written.setdefault(str(members["status"]), {"description": description, "content": content})
        examples = response["content"]["application/problem+json"].setdefault("examples", {})
        examples[members["title"]] = {"value": {**members, "reference": "5f0c3f0e5d8e4b6f9a1c2d3e4f5a6b7c"}}
    return dict(sorted(written.items()))


def _json(spec: APISpec, model: Model, mode: Any, media_type: str = "application/json") -> dict[str, Any]:
    """The content of a body; its model is added to the components."""
    schema = model.model_json_schema(mode=mode, ref_template="#/components/schemas/{model}")
    for name, component in {**schema.pop("$defs", {}), model.__name__: schema}.items():
        if name not in spec.components.schemas:
            spec.components.schema(name, component)
    return {media_type: {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}
