"""One logging configuration for the service, gunicorn and the access log: text for people, JSON lines for programs.

Records of the standard library and of structlog go one way, https://www.structlog.org/en/stable/standard-library.html
"""

import logging.config
import re
import sys
import threading
from typing import Any

import structlog
from flask import has_request_context, request
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from . import config, errors


def configure(settings: config.Settings) -> None:
    """Make this process log as the settings say."""
    logging.config.dictConfig(configuration(settings))
    logging.captureWarnings(True)
    threading.excepthook = _log_thread_crash
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_COMMON, ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def configuration(settings: config.Settings) -> dict[str, Any]:
    """The dictionary for :func:`logging.config.dictConfig`; gunicorn takes the same as ``logconfig_dict``."""
    text = (settings.LOG_FORMAT or ("text" if settings.FLASK_DEBUG else "json")) == "text"
    through: dict[str, Any] = {"handlers": [], "level": "NOTSET", "propagate": True}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "default": {
                "()": ProcessorFormatter,
                "foreign_pre_chain": [*_COMMON, structlog.stdlib.ExtraAdder({"request_id"} if text else None)],
                "processors": [ProcessorFormatter.remove_processors_meta, *(_TEXT if text else _JSON)],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "default"}},
        "root": {"handlers": ["stderr"], "level": settings.LOG_LEVEL},
        "loggers": {
            **dict.fromkeys(("gunicorn.error", "gunicorn.access", "alembic"), through),
            "alembic.runtime.plugins": {**through, "level": "WARNING"},
            "sqlalchemy": {**through, "level": "WARNING"},  # below it logs SQL
        },
    }


def _log_thread_crash(crash: threading.ExceptHookArgs) -> None:
    """A crash in a thread is a record like any other, where Python would write its traceback to stderr."""
    if crash.exc_value and not isinstance(crash.exc_value, SystemExit):
        name = crash.thread.name if crash.thread else "?"
        logging.getLogger(__package__).error("Exception in thread %s", name, exc_info=crash.exc_value)


def _on_one_line(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """What a client sent cannot forge a line of text. Werkzeug's own lines are coloured, and escaped by Werkzeug."""
    if event.get("logger") != "werkzeug":
        event["event"] = _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], str(event["event"]))
    return event


_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def _add_request_id(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if has_request_context():
        event["request_id"] = errors.reference(request.environ)
    return event


_COMMON: list[Processor] = [
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    _add_request_id,
]
_TEXT: list[Processor] = [_on_one_line, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
_JSON: list[Processor] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
