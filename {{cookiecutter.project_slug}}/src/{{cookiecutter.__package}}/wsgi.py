"""The application object for a WSGI server; ``gunicorn.conf.py`` points here."""

from . import create_app

app = create_app()
if app.debug:  # no SystemExit: gunicorn would start one worker after another
    raise RuntimeError("FLASK_DEBUG: a WSGI server is for production; leave it out, or run: flask --debug run")
