"""Run the development server in one process: ``python -m`` and the name of this package.

EXTERNAL_DEBUGGER=1 leaves exceptions to a debugger: https://flask.palletsprojects.com/en/stable/debugging/
"""

import os

from . import create_app

if __name__ == "__main__":
    os.environ["FLASK_DEBUG"] = os.environ.get("FLASK_DEBUG") or "1"
    app = create_app()  # reads .env
    external = os.environ.get("EXTERNAL_DEBUGGER", "") not in ("", "0")
    options = {"use_debugger": app.debug and not external, "passthrough_errors": external}
    app.run(app.config["HOST"], app.config["PORT"], load_dotenv=False, use_reloader=False, **options)
