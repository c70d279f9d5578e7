"""``python -m`` this package: the development server, in one process and on this machine only.

The debug mode of Flask, https://flask.palletsprojects.com/en/stable/debugging/
"""

import os

os.environ.setdefault("FLASK_DEBUG", "1")

from . import create_app

if __name__ == "__main__":
    app = create_app()
    app.run(port=app.config["PORT"])
