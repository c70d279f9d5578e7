"""The WSGI application for Gunicorn."""

from . import create_app

try:
    app = create_app()
except SystemExit as error:  # Gunicorn would start the worker again and again
    raise RuntimeError(error.code) from None
