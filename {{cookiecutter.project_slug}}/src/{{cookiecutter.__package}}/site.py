"""The home page, and what every page knows."""

from typing import Any

from flask import Blueprint, current_app, render_template

bp = Blueprint("site", __name__)


@bp.app_context_processor
def blueprints() -> dict[str, Any]:
    """The names of the blueprints there are: a page links to those."""
    return {"blueprints": current_app.blueprints.keys()}


@bp.get("/")
def home() -> str:
    return render_template("home.html")
