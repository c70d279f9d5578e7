"""Sentry, where SENTRY_DSN says it listens. Without one the package is not even imported."""

import logging
from importlib.metadata import version
from typing import TYPE_CHECKING

from flask import Flask, has_request_context, request

from . import errors

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint


def init_app(app: Flask) -> None:
    """Report crashes, each once. Never from development, and nothing of what the user sent.

    A DSN that cannot be used is an error in the log; the service serves without Sentry.
    """
    dsn = app.config["SENTRY_DSN"]
    if not dsn or app.debug:
        return

    import sentry_sdk
    from sentry_sdk.integrations.flask import FlaskIntegration

    try:
        sentry_sdk.init(
            dsn,
            release=f"{__package__}@{version(__package__)}",
            environment=app.config["SENTRY_ENVIRONMENT"],
            traces_sample_rate=app.config["SENTRY_TRACES_SAMPLE_RATE"] or None,
            auto_enabling_integrations=False,
            integrations=[FlaskIntegration()],
            before_send=_before_send,
            before_send_transaction=_before_send,
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


def _before_send(event: "Event", hint: "Hint") -> "Event":
    """Add the reference of the request. Leave out what an incoming ``baggage`` header says, such as a user's id."""
    event.get("contexts", {}).get("trace", {}).pop("dynamic_sampling_context", None)
    if has_request_context():
        event.setdefault("tags", {})["request_id"] = errors.reference(request.environ)
    return event
