"""Health checks for load balancers and orchestrators: ``/healthz`` and ``/readyz``."""

import logging
from collections.abc import Callable

from flask import Blueprint, Flask, Response, current_app

from .. import errors

PATHS = ("/healthz", "/readyz")
"""Paths that are served for any Host header."""

bp = Blueprint("health", __name__)


def register_check(app: Flask, name: str, check: Callable[[], str | None]) -> None:
    """Add a check to ``/readyz`` and ``flask doctor``.

    :param check: returns why requests cannot be served, as a sentence, or ``None``.
    """
    app.extensions.setdefault("health_checks", {})[name] = check


@bp.get("/healthz")
def alive() -> Response:
    """Return 200. Restart the process if it does not answer."""
    return _response("alive", 200)


@bp.get("/readyz")
def ready() -> Response:
    """Return 200 if requests can be served. Otherwise return 503 and log the reasons."""
    reasons = [reason for check in current_app.extensions.get("health_checks", {}).values() if (reason := check())]
    for reason in reasons:
        logging.getLogger(__name__).warning("Not ready; /readyz answers 503. %s", reason)
    if not reasons:
        return _response("ready", 200)
    response = _response("not ready", 503)
    response.retry_after = errors.service_unavailable().retry_after
    return response


def _response(text: str, status: int) -> Response:
    return Response(f"{text}\n", status, {"Cache-Control": "no-store"}, mimetype="text/plain")
