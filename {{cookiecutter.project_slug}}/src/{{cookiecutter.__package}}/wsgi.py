"""The WSGI application for Gunicorn."""

from . import create_app

app = create_app()
