"""Documentation for clients: the OpenAPI 3.1 document, and a page below ``/problems/`` for each problem type."""

import json
from collections.abc import Iterator
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

from flask import Blueprint, abort, current_app, render_template
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from .. import errors
from ..comments import CommentList
from ..posts import PostInput
from .schemas import PostList, PostOutput, Problem

ProblemType = type[errors.InvalidAPIUsage]

DOCUMENT = json.loads(Path(__file__).with_name("openapi.json").read_text("utf-8"))
MODELS: tuple[type[BaseModel], ...] = (PostInput, PostOutput, PostList, CommentList, Problem)
"""The schemas of the document."""

bp = Blueprint("problems", __name__, url_prefix="/problems")


def openapi(mount_point: str) -> dict[str, Any]:
    """Return ``openapi.json`` with the schemas of the models, and with the name and the URL of this service."""
    about = metadata(current_app.name)
    reference = "#/components/schemas/{model}"
    _, schemas = models_json_schema([(model, "serialization") for model in MODELS], ref_template=reference)
    return {
        **DOCUMENT,
        "info": {"title": about["Name"], "version": about["Version"], "description": about["Summary"]},
        "servers": [{"url": mount_point or "/"}],
        "components": {**DOCUMENT["components"], "schemas": schemas["$defs"]},
    }


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
