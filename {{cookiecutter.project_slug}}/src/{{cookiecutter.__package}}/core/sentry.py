"""Sentry integration. Without ``SENTRY_DSN``, ``sentry_sdk`` is not imported."""

import logging
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

from flask import Flask

from .logging import Throttle, is_client_error, level_of, message_template, request_id

if TYPE_CHECKING:
    from sentry_sdk.transport import HttpTransport
    from sentry_sdk.types import Event, Hint

LEVELS: dict[int, Literal["warning", "error", "fatal"]] = {
    logging.WARNING: "warning",
    logging.ERROR: "error",
    logging.CRITICAL: "fatal",
}
NO_USER_DATA: Any = {
    "user_info": False,
    "http_bodies": [],
    "cookies": {"mode": "off"},
    "url_query_params": {"mode": "off"},
    "http_headers": {"request": {"mode": "off"}},
    "stack_frame_variables": False,
}


def check_dsn(dsn: str) -> str:
    """Return the DSN, which may be blank.

    :raises ValueError: if the DSN is malformed. The message does not contain the DSN.
    """
    if dsn:
        from sentry_sdk.utils import Dsn

        try:
            Dsn(dsn)
        except ValueError:
            raise ValueError("not a DSN; copy it from the project's settings in Sentry") from None
    return dsn


def init_app(app: Flask) -> None:
    """Report errors to ``SENTRY_DSN``, except in debug mode.

    :raises SystemExit: if the DSN is malformed.
    """
    if app.config["SENTRY_DSN"] and not app.debug:
        try:
            _init_sdk(check_dsn(app.config["SENTRY_DSN"]), app.import_name)
        except ValueError as error:
            raise SystemExit(f"SENTRY_DSN: {error}") from None


def _init_sdk(dsn: str, package: str) -> None:
    import sentry_sdk
    from sentry_sdk.integrations.atexit import AtexitIntegration
    from sentry_sdk.integrations.flask import FlaskIntegration
    from sentry_sdk.integrations.logging import LoggingIntegration

    sentry_sdk.init(
        dsn,
        release=f"{package}@{version(package)}",  # without a release, the SDK runs git
        auto_enabling_integrations=False,
        integrations=[
            FlaskIntegration(),
            LoggingIntegration(level=None, event_level=logging.ERROR),
            AtexitIntegration(lambda pending, timeout: None),  # the default writes to stderr, past the log
        ],
        transport=_transport(),
        shutdown_timeout=1,
        before_send=partial(_before_send, Throttle()),
        max_breadcrumbs=0,  # they hold log messages with their arguments
        data_collection=NO_USER_DATA,
    )


def _transport() -> "type[HttpTransport]":
    from sentry_sdk.transport import HttpTransport

    throttle = Throttle()

    class Transport(HttpTransport):
        def on_dropped_event(self, reason: str) -> None:
            if throttle.record(reason) is not None:
                logging.getLogger(__name__).warning("Sentry events were dropped: %s", reason)

    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it logs each retry as a warning
    return Transport


def _before_send(throttle: Throttle, event: "Event", hint: "Hint") -> "Event | None":
    """Return the event without user data, or ``None`` if it must not be sent."""
    record: logging.LogRecord | None = hint.get("log_record")
    error: BaseException | None = (hint.get("exc_info") or (None, None))[1]
    if record is not None:
        if error is not None and _REPORTED in vars(error):  # an integration saw the exception before it was logged
            return None
        event["logentry"] = {"message": message_template(record)}
    elif error is not None:
        if is_client_error(error):
            return None
        vars(error)[_REPORTED] = True
        event["level"] = LEVELS[level_of(error)]
    subject = record if error is None else error
    suppressed = throttle.record(str(event.get("message")) if subject is None else subject)
    if suppressed is None:
        return None
    tags = {"request_id": request_id(record), "suppressed": suppressed and str(suppressed)}
    event.setdefault("tags", {}).update({name: value for name, value in tags.items() if value})
    event.get("contexts", {}).get("trace", {}).pop("dynamic_sampling_context", None)  # from the client's headers
    return event


_REPORTED = f"{__name__}.reported"
