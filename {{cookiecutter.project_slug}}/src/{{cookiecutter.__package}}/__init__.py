"""The service: an application factory, and the order in which it is assembled."""

from flask import Flask

from . import api, blog, bodies, config, edge, errors, health, logs, sentry, site


def create_app(settings: config.Settings | None = None) -> Flask:
    """Assemble the service.

    :param settings: what to run with. Without them they are read from the environment, ``.env`` and
        ``SETTINGS_FILE``, and this process logs as they say; a caller with settings of its own, such as
        a test, keeps its own logging.
    :raises SystemExit: with one line for each setting that is missing or wrong.
    """
    if settings is None:
        settings = config.load()
        logs.configure(settings)

    app = Flask(__name__)
    app.config.from_mapping(settings.model_dump())
    app.debug = settings.FLASK_DEBUG
    app.url_map.merge_slashes = False  # a doubled slash is never a redirect

    sentry.init_app(app)
    bodies.init_app(app)
    edge.init_app(app)  # wraps what is there so far: the outermost comes last

    app.register_blueprint(site.bp)
    app.register_blueprint(blog.bp)
    app.register_blueprint(api.bp)
    app.register_blueprint(health.bp)

    errors.init_app(app)  # last, so that a blueprint's templates may be error pages too
    return app
