"""The service: an application factory."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask

from . import api, blog, core, home
from .api import docs
from .config import Settings, load


def create_app(settings: Settings | None = None, config: Mapping[str, Any] | None = None) -> Flask:
    """Create the application.

    :param settings: for a test. By default they are read with :func:`load`, and logging is configured.
    :param config: configuration of Flask and of extensions, such as ``{"WTF_CSRF_ENABLED": False}``.
    :raises SystemExit: with one line for each setting that is missing or wrong.
    """
    if settings is None:
        settings = load()
        core.logging.configure(settings.LOG_LEVEL, settings.FLASK_DEBUG)

    app = core.App(__name__, instance_path=str(Path("instance").absolute()))
    app.config.update(SESSION_COOKIE_SECURE=not settings.FLASK_DEBUG, SESSION_COOKIE_SAMESITE="Lax")
    app.config.from_prefixed_env()  # FLASK_NAME=value sets NAME
    app.config.update(settings.model_dump())
    app.config.update(config or {})
    app.debug = settings.FLASK_DEBUG

    # Your blueprints. To remove an example, delete its folder, its tests and its line; see README.md.
    app.register_blueprint(home.bp)
    app.register_blueprint(blog.bp)
    app.register_blueprint(api.bp)
    app.register_blueprint(docs.bp)

    # Your extensions: login_manager.init_app(app), csrf.init_app(app), ...

    core.init_app(app)  # last, when all blueprints are registered
    return app
