"""Sentry, where SENTRY_DSN says it listens. Without one the package is not even imported."""

import logging
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

from flask import Flask, has_request_context, request

from . import errors, fallback, health, reporting

if TYPE_CHECKING:
    from sentry_sdk.transport import HttpTransport
    from sentry_sdk.types import Event, Hint

LEVELS: dict[int, Literal["warning", "error", "fatal"]] = {
    logging.WARNING: "warning",
    logging.ERROR: "error",
    logging.CRITICAL: "fatal",
}
"""As Sentry calls them."""


def init_app(app: Flask) -> None:
    """Report crashes, each cause once a minute. Never from development, and nothing of what the user sent.

    A DSN that cannot be used is an error in the log; the service serves without Sentry.
    """
    dsn = app.config["SENTRY_DSN"]
    if not dsn or app.debug:
        return

    import sentry_sdk
    from sentry_sdk.integrations.atexit import AtexitIntegration
    from sentry_sdk.integrations.flask import FlaskIntegration

    try:
        sentry_sdk.init(
            dsn,
            release=f"{__package__}@{version(__package__)}",
            environment=app.config["SENTRY_ENVIRONMENT"],
            traces_sampler=partial(_sample, rate) if (rate := app.config["SENTRY_TRACES_SAMPLE_RATE"]) else None,
            auto_enabling_integrations=False,
            integrations=[FlaskIntegration(), AtexitIntegration(lambda pending, _: _tell(f"{pending} were left"))],
            transport=_transport(),
            shutdown_timeout=1,
            ignore_errors=[fallback.CutError],  # why a response was cut is reported already
            before_send=partial(_before_send, reporting.Causes()),
            before_send_transaction=_add_reference,
            data_collection={
                "user_info": False,
                "http_bodies": [],
                "cookies": {"mode": "off"},
                "url_query_params": {"mode": "off"},
                "http_headers": {"request": {"mode": "off"}},
                "stack_frame_variables": False,
            },
        )
    except ValueError as error:
        logging.getLogger(__name__).error(
            "SENTRY_DSN is not usable, so nothing is reported; copy it from the project's settings in Sentry: %s", error
        )


def _sample(rate: float, context: dict[str, Any]) -> float:
    """How often a request is traced. Probes are not: that a process is alive does not depend on Sentry."""
    return 0 if context.get("wsgi_environ", {}).get("PATH_INFO") in health.PATHS else rate


def _transport() -> "type[HttpTransport]":
    from sentry_sdk.transport import HttpTransport

    class Transport(HttpTransport):
        def on_dropped_event(self, reason: str) -> None:
            _tell(reason)

    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it tells of each attempt
    _told.forget()
    return Transport


def _tell(reason: str) -> None:
    """Say once a minute that reports are lost. The SDK would say nothing, or write to stderr past the log."""
    log = logging.getLogger(reporting.__name__)
    record = log.makeRecord(log.name, logging.WARNING, __file__, 0, "Sentry does not take reports: %s", (reason,), None)
    if _told.meet(record).held_back is not None:
        log.handle(record)


_told = reporting.Causes()


def _before_send(causes: reporting.Causes, event: "Event", hint: "Hint") -> "Event | None":
    """Hold it back, or give it its level. Arguments of a line of the log are left out: a user may have sent them."""
    record: Any = hint.get("log_record")
    _, error, _ = hint.get("exc_info") or (None, None, None)
    held_back = causes.meet(record if error is None else error).held_back
    if held_back is None:
        return None
    if held_back:
        event.setdefault("tags", {})["held_back"] = str(held_back)
    if record:
        event["logentry"] = {"message": str(record.msg)}
    elif error is not None:
        event["level"] = LEVELS[reporting.level_until_logged(error)]
    return _add_reference(event, hint)


def _add_reference(event: "Event", hint: "Hint") -> "Event":
    """Add the reference of the request. Leave out what an incoming ``baggage`` header says, such as a user's id."""
    event.get("contexts", {}).get("trace", {}).pop("dynamic_sampling_context", None)
    of_record = getattr(hint.get("log_record"), "request_id", None)
    if request_id := errors.reference(request.environ) if has_request_context() else of_record:
        event.setdefault("tags", {})["request_id"] = request_id
    return event
