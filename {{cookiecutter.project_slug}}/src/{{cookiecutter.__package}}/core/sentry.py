"""Sentry integration. Without ``SENTRY_DSN``, ``sentry_sdk`` is not imported."""

import logging
from importlib.metadata import version
from typing import Any

from flask import Flask, has_request_context, request

from .. import errors
from .logging import Throttle, level_of

LEVELS = {logging.INFO: "info", logging.WARNING: "warning", logging.ERROR: "error", logging.CRITICAL: "fatal"}
NO_USER_DATA: Any = {
    "user_info": False,
    "http_bodies": [],
    "cookies": {"mode": "off"},
    "url_query_params": {"mode": "off"},
    "http_headers": {"request": {"mode": "off"}},
    "stack_frame_variables": False,
}

_throttle = Throttle()


def init_app(app: Flask) -> None:
    """Report errors to ``SENTRY_DSN``, except in debug mode."""
    if not app.config["SENTRY_DSN"] or app.debug:
        return
    import sentry_sdk
    from sentry_sdk.integrations.atexit import AtexitIntegration
    from sentry_sdk.integrations.flask import FlaskIntegration
    from sentry_sdk.integrations.logging import LoggingIntegration

    sentry_sdk.init(
        app.config["SENTRY_DSN"],
        release=f"{app.name}@{version(app.name)}",  # without a release, the SDK runs git
        auto_enabling_integrations=False,
        integrations=[
            FlaskIntegration(),
            LoggingIntegration(level=None, event_level=logging.ERROR),
            AtexitIntegration(lambda pending, timeout: None),  # the default writes to stderr, past the log
        ],
        shutdown_timeout=1,
        before_send=before_send,
        max_breadcrumbs=0,  # they hold log messages with their arguments
        data_collection=NO_USER_DATA,
    )
    sentry_sdk.get_client().transport.on_dropped_event = log_dropped_event  # type: ignore[union-attr]


def log_dropped_event(reason: str) -> None:
    """Log that events could not be delivered, at most once a minute. The SDK does not."""
    if _throttle.record(reason) is not None:
        logging.getLogger(__name__).warning("Sentry events were dropped: %s", reason)


def before_send(event: Any, hint: Any) -> Any:
    """Return the event without user data, or ``None`` if it must not be sent."""
    record: logging.LogRecord | None = hint.get("log_record")
    error: BaseException | None = (hint.get("exc_info") or (None, None))[1]
    if record:
        event["logentry"] = {"message": str(record.msg)}  # its arguments may be user input
    elif error:
        event["level"] = LEVELS[level_of(error)]
        if event["level"] == "info":  # the client can correct it
            return None
    suppressed = _throttle.record(error or record or str(event.get("message")))
    if suppressed is None:
        return None
    request_id = errors.request_id(request.environ) if has_request_context() else getattr(record, "request_id", "")
    event["tags"] = {**event.get("tags", {}), "request_id": request_id, "suppressed": str(suppressed)}
    event.get("contexts", {}).get("trace", {}).pop("dynamic_sampling_context", None)  # from the client's headers
    return event
