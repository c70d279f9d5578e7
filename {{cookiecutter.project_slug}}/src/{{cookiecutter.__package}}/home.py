"""The home page, and the style sheet that all pages share."""

from flask import Blueprint, Response, render_template, send_file

from . import errors

bp = Blueprint("home", __name__)


@bp.get("/")
def index() -> str:
    return render_template("home.html")


@bp.get("/style.css")
def style() -> Response:
    """Send the style sheet that the error pages embed."""
    return send_file(errors.STYLE)
