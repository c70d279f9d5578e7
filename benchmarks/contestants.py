"""The applications that are compared. Each runs in the virtual environment of a baked project.

Both have the same routes: a home page from the same templates, JSON below ``/api``, and ``/crash``.
"""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from flask import Blueprint, Flask, render_template

DATA = (
    "flask_alembic",
    "flask_sqlalchemy_lite",
    "httpx",
    "limits",
    "markdown_it",
    "sqlalchemy.dialects.sqlite",
    "stamina",
)
"""Packages that the service needs for its database, rate limits, upstream service and examples. Bare Flask imports them
too, so that startup and memory compare the same packages. It does not set them up."""


def crash() -> NoReturn:
    raise RuntimeError("a bug in a view")


def service() -> Flask:
    """Return the service in production, from its own WSGI module."""
    from my_service.wsgi import app

    app.add_url_rule("/crash", view_func=crash)
    return app


def bare() -> Flask:
    """Return Flask with a secret key: no error handler, no middleware, no logging configuration."""
    for name in DATA:
        import_module(name)
    app = Flask(__name__, root_path=str(_package()))
    app.secret_key = "benchmark"
    home, problems = Blueprint("home", __name__), Blueprint("problems", __name__, url_prefix="/problems")
    blog, api = Blueprint("blog", __name__, url_prefix="/blog"), Blueprint("api", __name__, url_prefix="/api")
    home.add_url_rule("/", "index", lambda: render_template("home.html", blueprints=app.blueprints))
    home.add_url_rule("/style.css", "style", lambda: "")
    problems.add_url_rule("/", "index", lambda: "no problems")
    blog.add_url_rule("/", "index", lambda: "no posts")
    api.add_url_rule("/posts", "list_posts", lambda: {"posts": []})
    api.add_url_rule("/openapi.json", "openapi", lambda: {})
    for blueprint in (home, problems, blog, api):
        app.register_blueprint(blueprint)
    app.add_url_rule("/crash", view_func=crash)
    return app


def _package() -> Path:
    """Return the folder of the service, whose templates and static files both use."""
    spec = find_spec("my_service")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent
