"""The machinery of the service: logging, database, request handling, health checks and error reports."""

from flask import Flask

from .. import errors
from . import cli, database, health, mail, middleware, requests, sentry
from .logging import App as App


def init_app(app: Flask) -> None:
    """Add the machinery to an application whose blueprints are registered."""
    app.url_map.merge_slashes = False  # a doubled slash is a 404, not a redirect
    app.jinja_env.globals["blueprints"] = app.blueprints  # pages link only to blueprints that are registered
    app.register_blueprint(health.bp)
    sentry.init_app(app)
    mail.init_app(app)
    database.init_app(app)
    requests.init_app(app)
    cli.init_app(app)
    errors.init_app(app)
    middleware.init_app(app)
