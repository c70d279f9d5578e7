"""Documentation for clients: the OpenAPI 3.1 document, and a page below ``/problems/`` for each problem type."""

import json
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

bp = Blueprint("problems", __name__, url_prefix="/problems")


def openapi(mount_point: str) -> dict[str, Any]:
    """Return ``openapi.json`` with the schemas of the models, and with the name and the URL of this service."""
    about = metadata(current_app.name)
    models: list[type[BaseModel]] = [PostInput, PostOutput, PostList, CommentList, Problem]
    reference = "#/components/schemas/{model}"
    _, schemas = models_json_schema([(model, "serialization") for model in models], ref_template=reference)
    document: dict[str, Any] = json.loads(Path(__file__).with_name("openapi.json").read_text("utf-8"))
    document["info"] = {"title": about["Name"], "version": about["Version"], "description": about["Summary"]}
    document["servers"] = [{"url": mount_point or "/"}]
    document["components"]["schemas"] = schemas["$defs"]
    return document


def problem_types() -> dict[str, type[errors.InvalidAPIUsage]]:
    """Return the problem types below ``/problems/`` by URL: the subclasses of ``errors.InvalidAPIUsage``."""
    types = errors.InvalidAPIUsage.__subclasses__()
    for each in types:
        types += each.__subclasses__()  # the loop reaches these too
    return {each.type: each for each in sorted(types, key=lambda kind: kind.type) if each.type.startswith("/problems/")}


@bp.get("/", strict_slashes=False)
def index() -> str:
    """List the problem types."""
    return render_template("problems/index.html", problems=problem_types().values())


@bp.get("/<name>")
def show(name: str) -> str:
    """Document a problem type. Raise 404 if it does not exist."""
    problem = problem_types().get(f"/problems/{name}") or abort(404)
    return render_template("problems/show.html", problem=problem)
