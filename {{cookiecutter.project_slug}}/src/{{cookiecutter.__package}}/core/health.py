"""Health checks for load balancers and orchestrators: ``/healthz`` and ``/readyz``."""

import logging
from collections.abc import Callable, Iterator

from flask import Blueprint, Flask, current_app
from flask.typing import ResponseReturnValue

PATHS = ("/healthz", "/readyz")  # served for any Host header
HEADERS = {"Cache-Control": "no-store", "Content-Type": "text/plain; charset=utf-8"}

bp = Blueprint("health", __name__)


def register_check(app: Flask, check: Callable[[], str | None]) -> None:
    """Add a check to ``/readyz`` and ``flask doctor``.

    :param check: returns why requests cannot be served, as a sentence, or ``None``.
    """
    app.extensions.setdefault("health_checks", []).append(check)


def reasons() -> Iterator[str]:
    """Run all checks, and yield the reasons why requests cannot be served."""
    for check in current_app.extensions.get("health_checks", []):
        if reason := check():
            yield reason


@bp.get("/healthz")
def alive() -> ResponseReturnValue:
    """Return 200. Restart the process if it does not answer."""
    return "alive\n", HEADERS


@bp.get("/readyz")
def ready() -> ResponseReturnValue:
    """Return 200 if requests can be served. Otherwise return 503 and log the reasons."""
    found = list(reasons())
    for reason in found:
        logging.getLogger(__name__).warning("Not ready; /readyz answers 503. %s", reason)
    return ("not ready\n", 503, {**HEADERS, "Retry-After": "10"}) if found else ("ready\n", HEADERS)
