"""For load balancers and orchestrators: is the process alive, and is it able to serve?"""

import logging

from flask import Blueprint, Response

from . import database, errors

PATHS = ("/healthz", "/readyz")
"""Answered whatever the Host."""

bp = Blueprint("health", __name__)


@bp.get("/healthz")
def alive() -> Response:
    """200 as long as this process answers at all. Restart the process when it does not."""
    return Response("alive\n", mimetype="text/plain")


@bp.get("/readyz")
def ready() -> Response:
    """200 when requests can be served. Send requests elsewhere while they cannot; the log says why."""
    if trouble := database.trouble():
        logging.getLogger(__name__).warning("Not ready. %s", trouble)
        headers = {**dict(errors.overloaded().get_headers()), "Cache-Control": "no-store"}
        return Response("not ready\n", 503, headers, mimetype="text/plain")
    return Response("ready\n", mimetype="text/plain")
