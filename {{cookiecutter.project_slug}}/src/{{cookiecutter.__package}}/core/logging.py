"""Logging: one configuration for the service and Gunicorn, log levels of exceptions, and a limit for error reports.

Lines are JSON, or text in debug mode. https://nhairs.github.io/python-json-logger/latest/
"""

import logging.config
import threading
import time
import traceback
from collections.abc import Hashable
from types import TracebackType
from typing import Any

from flask import Flask, has_request_context, request
from pythonjsonlogger.json import JsonFormatter

from .. import errors


def configure(level: str, debug: bool) -> None:
    """Configure logging in this process."""
    logging.config.dictConfig(configuration(level, debug))
    logging.captureWarnings(True)
    threading.excepthook = _log_thread_exception


def configuration(level: str, debug: bool = False) -> dict[str, Any]:
    """Return the dictionary for :func:`logging.config.dictConfig` and Gunicorn's ``logconfig_dict``."""
    json = {
        "()": JsonFormatter,
        "fmt": ["levelname", "name", "message"],
        "rename_fields": {"levelname": "level", "name": "logger", "exc_info": "exception"},
        "timestamp": True,
    }
    propagate: dict[str, Any] = {"handlers": [], "level": "NOTSET", "propagate": True}
    stderr = {"class": "logging.StreamHandler", "formatter": "default", "filters": ["request_id"]}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"request_id": {"()": RequestIDFilter}},
        "formatters": {"default": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"} if debug else json},
        "handlers": {"stderr": stderr},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            **dict.fromkeys(("gunicorn.error", "gunicorn.access", "alembic"), propagate),
            "alembic.runtime.plugins": {**propagate, "level": "WARNING"},
            "sqlalchemy": {**propagate, "level": "WARNING"},  # lower levels log SQL with its values
        },
    }


class RequestIDFilter(logging.Filter):
    """Add the ID of the current request to each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, "request_id") and has_request_context():
            record.request_id = errors.request_id(request.environ)
        return True


def _log_thread_exception(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is not SystemExit:
        logging.error("Exception in thread %s", args.thread and args.thread.name, exc_info=args.exc_value)


class App(Flask):
    """Flask application that logs an unhandled exception at the level of its HTTP error."""

    def log_exception(self, exc_info: tuple[type, BaseException, TracebackType] | tuple[None, None, None]) -> None:
        """Log an unhandled exception. One that becomes a 4xx response is logged without a traceback."""
        error = exc_info[1] or RuntimeError()
        level = level_of(error)
        if level == logging.INFO:
            self.logger.info("Exception on %s [%s]: %s", request.path, request.method, type(error).__name__)
        else:
            self.logger.log(level, "Exception on %s [%s]", request.path, request.method, exc_info=exc_info)


def level_of(error: BaseException) -> int:
    """Return the log level of an unhandled exception, by the response that it becomes."""
    try:
        http_error = errors.classify(error)
    except Exception:  # a bug in a registered function, which is logged where the response is made
        return logging.ERROR
    if isinstance(http_error, errors.InsufficientStorage | errors.StorageError):
        return logging.CRITICAL  # data cannot be stored
    if http_error is None or isinstance(http_error, errors.MisconfiguredGateway):
        return logging.ERROR
    if http_error.code in (502, 503, 504):
        return logging.WARNING  # a retry may succeed
    return logging.INFO if 400 <= (http_error.code or 500) < 500 else logging.ERROR  # the client can correct a 4xx


class Throttle:
    """Allow one report a minute for the same place in the code."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._reports: dict[Hashable, tuple[float, int]] = {}  # time of the last report, number suppressed since

    def record(self, subject: BaseException | logging.LogRecord | str) -> int | None:
        """Return the number suppressed since the last report, or ``None`` if this one must be suppressed."""
        place, now = _place(subject), time.monotonic()
        with self._lock:
            reported, suppressed = self._reports.get(place, (float("-inf"), 0))
            is_due = now - reported >= 60
            if len(self._reports) >= 1000:  # classes of exceptions can be created at runtime
                self._reports.clear()
            self._reports[place] = (now, 0) if is_due else (reported, suppressed + 1)
        return suppressed if is_due else None


def _place(subject: BaseException | logging.LogRecord | str) -> Hashable:
    """Return the place where an exception was raised or a record was logged. A string stands for itself."""
    if isinstance(subject, logging.LogRecord):
        error = subject.exc_info and subject.exc_info[1]
        return _place(error) if error else (subject.pathname, subject.lineno)
    if isinstance(subject, BaseException):
        frames = traceback.extract_tb(subject.__traceback__, limit=-1)
        return type(subject), *((frame.filename, frame.lineno) for frame in frames)
    return subject
