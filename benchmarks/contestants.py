"""The applications that are compared. All of them are started from the baked project's own virtual environment.

Each function gives a WSGI application with the same routes: a home page, rendered from the same templates, a JSON
answer under ``/api``, and ``/crash``.

All import what the service imports for its data, which is no matter of errors. The service alone sets it up: the others
register no extension, and have no database.
"""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from flask import Blueprint, Flask, current_app, json, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from jinja2 import ChoiceLoader, DictLoader
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as WerkzeugResponse

DATA = (
    "apispec",
    "flask_alembic",
    "flask_limiter",
    "flask_sqlalchemy_lite",
    "httpx",
    "markdown_it",
    "sqlalchemy.dialects.sqlite",
    "stamina",
    "yaml",
)
"""What the service needs for the database, limits, calls of other systems and the two examples."""

for name in DATA:
    import_module(name)

ERROR_PAGES = {
    f"{name}.html": f"""{{% extends "layout.html" %}}
{{% block title %}}{title}{{% endblock %}}
{{% block content %}}
<h1>{title}</h1>
<p>What you asked for cannot be had here.</p>
<p><a href="{{{{ url_for('site.home') }}}}">Go to the home page</a></p>
{{% endblock %}}
"""
    for name, title in (("404", "Page not found"), ("405", "Method not allowed"), ("500", "Something failed"))
}


def crash() -> NoReturn:
    raise RuntimeError("a bug in a view")


def service() -> Flask:
    """The service in production, from its own WSGI module."""
    from my_service.wsgi import app

    app.add_url_rule("/crash", view_func=crash)
    return app


def bare() -> Flask:
    """Flask as it comes: no error handler, no middleware, no logging configuration."""
    app = Flask(__name__, root_path=str(_package()))
    site, problems = Blueprint("site", __name__), Blueprint("problems", __name__, url_prefix="/problems")
    blog, api = Blueprint("blog", __name__, url_prefix="/blog"), Blueprint("api", __name__, url_prefix="/api")
    site.add_url_rule("/", "home", lambda: render_template("home.html", blueprints=app.blueprints))
    site.add_url_rule("/style.css", "style", lambda: "")
    problems.add_url_rule("/", "index", lambda: "no problems")
    blog.add_url_rule("/", "index", lambda: "no posts")
    api.add_url_rule("/posts", "list_posts", lambda: {"posts": []})
    api.add_url_rule("/openapi.json", "openapi", lambda: {})
    for blueprint in (site, problems, blog, api):
        app.register_blueprint(blueprint)
    app.add_url_rule("/crash", view_func=crash)
    return app


def documentation() -> Flask:
    """:func:`bare`, with what Flask's documentation shows under "Handling Application Errors", put together.

    Pages rendered from templates for 404, 405 and 500, JSON by path prefix below ``/api``, and JSON for every other
    HTTP error: https://flask.palletsprojects.com/en/stable/errorhandling/
    """
    app = bare()
    assert app.jinja_loader is not None
    app.jinja_loader = ChoiceLoader([app.jinja_loader, DictLoader(ERROR_PAGES)])
    for code in (404, 405, 500):
        app.register_error_handler(code, _page_or_json)
    app.register_error_handler(HTTPException, _json)
    return app


def _page_or_json(error: HTTPException) -> ResponseReturnValue:
    if request.path.startswith("/api/"):
        return jsonify(error=str(error)), error.code or 500
    return render_template(f"{error.code}.html", blueprints=current_app.blueprints), error.code or 500


def _json(error: HTTPException) -> WerkzeugResponse:
    response = error.get_response()
    response.set_data(json.dumps({"code": error.code, "name": error.name, "description": error.description}))
    response.content_type = "application/json"
    return response


def _package() -> Path:
    """The folder of the service, whose templates and static files all contestants use."""
    spec = find_spec("my_service")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent
