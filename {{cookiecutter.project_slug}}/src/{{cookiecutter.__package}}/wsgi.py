"""The application object for a WSGI server; ``gunicorn.conf.py`` points here."""

from . import create_app

app = create_app()
