"""``python -m`` this package: the development server, in one process and on this machine only.

The debug mode of Flask, https://flask.palletsprojects.com/en/stable/debugging/
"""

import os

os.environ["FLASK_DEBUG"] = os.environ.get("FLASK_DEBUG") or "1"

from . import create_app

if __name__ == "__main__":
    app = create_app()
    app.run(port=app.config["PORT"], debug=app.debug, use_reloader=False, load_dotenv=False)
