"""For load balancers and orchestrators: is the process alive, and is it able to serve?"""

from flask import Blueprint, Response

PATHS = ("/healthz", "/readyz")
"""Answered whatever the Host."""

bp = Blueprint("health", __name__)


@bp.get("/healthz")
def alive() -> Response:
    """200 as long as this process answers at all. Restart the process when it does not."""
    return Response("alive\n", mimetype="text/plain")


@bp.get("/readyz")
def ready() -> Response:
    """200 when requests can be served. Send requests elsewhere while they cannot."""
    return Response("ready\n", mimetype="text/plain")
