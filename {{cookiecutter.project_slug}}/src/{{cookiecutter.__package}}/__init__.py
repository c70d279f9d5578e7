"""The service: an application factory, and the order in which it is assembled."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.utils import import_string

if TYPE_CHECKING:
    from .config import Settings


def create_app(settings: "Settings | None" = None) -> Flask:
    """Assemble the service.

    :param settings: what to run with. Without them they are read from the environment, ``.env`` and
        ``SETTINGS_FILE``, and this process logs as they say; a caller with settings of its own, such as
        a test, keeps its own logging.
    :raises SystemExit: with one line for each setting that is missing or wrong.
    """
    # Here, so that importing the package is light: a mistake in a room ends neither `flask run` nor `flask doctor`.
    from . import (
        bodies,
        config,
        database,
        edge,
        errors,
        export,
        fallback,
        health,
        limits,
        logs,
        mail,
        preview,
        problems,
        reporting,
        sentry,
        site,
        tokens,
        upstream,
    )

    if settings is None:
        settings = config.load()
        logs.configure(settings)

    app = _new_app(settings)
    reporting.init_app(app)
    sentry.init_app(app)
    mail.init_app(app)
    database.init_app(app)
    tokens.init_app(app)
    limits.init_app(app)
    upstream.init_app(app)
    bodies.init_app(app)
    edge.init_app(app)  # wraps what is there so far: the outermost comes last

    app.register_blueprint(site.bp)
    app.register_blueprint(problems.bp)
    app.register_blueprint(health.bp)
    # The examples, and what they share. To be rid of one, delete its folder, its test and its line.
    import_string(f"{__name__}.posts")
    app.register_blueprint(import_string(f"{__name__}.blog:bp"))
    app.register_blueprint(import_string(f"{__name__}.api:bp"))

    export.init_app(app)
    preview.init_app(app)
    errors.init_app(app)  # so late that a blueprint's templates may be error pages too
    fallback.init_app(app)
    return app


def _new_app(settings: "Settings") -> Flask:
    app = Flask(__name__, instance_path=str(Path("instance").absolute()))
    app.config.from_mapping(settings.model_dump())
    app.debug = settings.FLASK_DEBUG
    app.url_map.merge_slashes = False  # a doubled slash is never a redirect
    app.jinja_env.globals["blueprints"] = app.blueprints  # a page links to those there are
    # Flask looks whether a function is asynchronous each time it calls one. Once is enough.
    app.ensure_sync = lru_cache(app.ensure_sync)  # type: ignore[method-assign]
    return app
