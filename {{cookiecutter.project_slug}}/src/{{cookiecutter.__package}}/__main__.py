"""``python -m`` this package: the development server, in one process.

The debug mode of Flask, https://flask.palletsprojects.com/en/stable/debugging/
"""

import os

os.environ["FLASK_DEBUG"] = os.environ.get("FLASK_DEBUG") or "1"

from . import commands, create_app

if __name__ == "__main__":
    app = create_app()
    host, external = app.config["HOST"], app.config["EXTERNAL_DEBUGGER"]
    if app.debug:
        commands.refuse_elsewhere(host)
    debugger = {"use_debugger": app.debug and not external, "passthrough_errors": external}
    app.run(host, app.config["PORT"], app.debug, load_dotenv=False, use_reloader=False, **debugger)
