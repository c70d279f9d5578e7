"""The home page, and the look that every page shares."""

from flask import Blueprint, Response, render_template, send_file

from . import errors

bp = Blueprint("site", __name__)


@bp.get("/")
def home() -> str:
    return render_template("home.html")


@bp.get("/style.css")
def style() -> Response:
    """The style of the error pages, which have it within."""
    return send_file(errors.STYLE)
