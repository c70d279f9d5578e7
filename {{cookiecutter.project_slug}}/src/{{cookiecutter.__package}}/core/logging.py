"""Logging: one configuration for the service and Gunicorn, log levels of exceptions, email about errors.

Records of the standard library and of structlog are formatted alike, as JSON lines or as text.
https://www.structlog.org/en/stable/standard-library.html
"""

import logging.config
import os
import re
import smtplib
import ssl
import sys
import threading
import time
import traceback
from collections.abc import Hashable
from datetime import timedelta
from email.message import EmailMessage
from email.utils import localtime
from functools import partial
from queue import Full, Queue
from types import TracebackType
from typing import Any, TextIO
from urllib.parse import quote, unquote, urlsplit

import structlog
from flask import Flask, has_request_context, request
from structlog.stdlib import ExtraAdder, PositionalArgumentsFormatter, ProcessorFormatter
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger
from werkzeug.exceptions import HTTPException

from .. import errors

if sys.platform != "win32":  # Gunicorn cannot be imported on Windows
    from gunicorn.glogging import Logger

    class GunicornLogger(Logger):
        """Gunicorn's logger, with an access log of fields instead of formatted lines."""

        def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
            """Log a request. The environ is incomplete if the application did not respond."""
            headers = dict(req.headers)
            path = (environ.get("PATH_INFO") or unquote(req.path or "", "latin-1")).encode("latin-1", "replace")
            fields = {
                "method": environ.get("REQUEST_METHOD"),
                "path": path.decode(errors="replace"),
                "status": int((resp.status or "500").split()[0]),
                "bytes": resp.sent,
                "duration_ms": request_time // timedelta(milliseconds=1),
                "remote_addr": environ.get("REMOTE_ADDR"),
                "user_agent": headers.get("USER-AGENT"),
                "request_id": environ.get("HTTP_X_REQUEST_ID") or headers.get("X-REQUEST-ID"),
            }
            self.access_log.info("%s %s %s", fields["method"], quote(path), fields["status"], extra=fields)


log = logging.getLogger(__name__)


def configure(level: str, text: bool) -> None:
    """Configure logging in this process."""
    logging.config.dictConfig(configuration(level, text))
    logging.captureWarnings(True)
    threading.excepthook = _log_thread_exception
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_COMMON, _to_record],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def configuration(level: str, text: bool) -> dict[str, Any]:
    """Return the dictionary for :func:`logging.config.dictConfig` and Gunicorn's ``logconfig_dict``."""
    console = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_write_traceback)
    renderers: list[Processor] = [_escape_values, console] if text else _JSON
    formatter = {
        "()": ProcessorFormatter,
        "foreign_pre_chain": [ExtraAdder({"request_id"} if text else None), *_COMMON],
        "processors": [ProcessorFormatter.remove_processors_meta, PositionalArgumentsFormatter(), *renderers],
    }
    propagate: dict[str, Any] = {"handlers": [], "level": "NOTSET", "propagate": True}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"default": formatter},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "default"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            **dict.fromkeys(("gunicorn.error", "gunicorn.access", "alembic"), propagate),
            "alembic.runtime.plugins": {**propagate, "level": "WARNING"},
            "sqlalchemy": {**propagate, "level": "WARNING"},  # lower levels log SQL with its values
        },
    }


def request_id(record: logging.LogRecord | None = None) -> str | None:
    """Return the request ID of a log record, or the ID of the current request."""
    of_record: str | None = getattr(record, "request_id", None)
    return of_record or (errors.request_id(request.environ) if has_request_context() else None)


def _add_request_id(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if "request_id" not in event and (current := request_id()):
        event["request_id"] = current
    return event


def _to_record(logger: logging.Logger, name: str, event: EventDict) -> tuple[Any, dict[str, Any]]:
    """Pass a structlog event to the standard library. Its exception goes to Sentry and email, too."""
    args, kwargs = ProcessorFormatter.wrap_for_formatter(logger, name, event)
    return args, {**kwargs, "exc_info": event.get("exc_info")}


def _escape(text: str) -> str:
    """Escape control characters, so that a value cannot look like a log line of its own."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda match: ascii(match[0])[1:-1], text)


def _escape_values(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    event["event"] = str(event["event"])
    if event.get("logger") == "werkzeug":  # the development server escapes its own lines, and colors them
        return event
    return {key: _escape(value) if isinstance(value, str) else value for key, value in event.items()}


def _write_traceback(output: TextIO, exc_info: ExcInfo) -> None:
    """Write a traceback with each line indented, because an exception's message can contain line breaks."""
    for line in "".join(traceback.format_exception(*exc_info)).rstrip().split("\n"):
        output.write(f"\n  {_escape(line)}")


def _log_thread_exception(args: threading.ExceptHookArgs) -> None:
    if args.exc_value and not isinstance(args.exc_value, SystemExit):
        log.error("Exception in thread %s", args.thread and args.thread.name, exc_info=args.exc_value)


_COMMON: list[Processor] = [
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    _add_request_id,
]
_JSON: list[Processor] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


class App(Flask):
    """Flask application that logs an unhandled exception at the level of its HTTP error."""

    def log_exception(self, exc_info: tuple[type, BaseException, TracebackType] | tuple[None, None, None]) -> None:
        """Log an unhandled exception. Without traceback if the client caused it."""
        error = exc_info[1] or Exception()
        if is_client_error(error):
            kind = type(error).__name__
            self.logger.warning("Exception on %s [%s]: %s", request.path, request.method, kind)
        else:
            self.logger.log(level_of(error), "Exception on %s [%s]", request.path, request.method, exc_info=exc_info)


def level_of(error: BaseException) -> int:
    """Return the log level of an unhandled exception.

    CRITICAL if data could not be stored, WARNING if a retry may succeed or the client caused it, otherwise ERROR.
    """
    http_error = _classify(error)
    if isinstance(http_error, (errors.InsufficientStorage, errors.StorageError)):
        return logging.CRITICAL
    if http_error is None or isinstance(http_error, errors.MisconfiguredGateway):
        return logging.ERROR
    return logging.WARNING if http_error.code in (502, 503, 504) or is_client_error(error) else logging.ERROR


def is_client_error(error: BaseException) -> bool:
    """Return whether an exception becomes a 4xx response, such as a duplicate row."""
    http_error = _classify(error)
    return http_error is not None and 400 <= (http_error.code or 500) < 500


def _classify(error: BaseException) -> HTTPException | None:
    try:
        return errors.classify(error)
    except Exception:  # a bug in a registered function, which is logged where the response is made
        return None


class Throttle:
    """Allow one report a minute for the same place in the code. Remember the ``size`` most recent places."""

    def __init__(self, size: int = 1000) -> None:
        self._size = size
        self._lock = threading.RLock()
        self._entries: dict[Hashable, tuple[float, int]] = {}  # time of the last report, number suppressed since

    def record(self, subject: BaseException | logging.LogRecord | str) -> int | None:
        """Return the number suppressed since the last report, or ``None`` if this one must be suppressed."""
        place, now = _place(subject), time.monotonic()
        with self._lock:
            reported, suppressed = self._entries.pop(place, (float("-inf"), 0))
            is_due = now - reported >= 60
            self._entries[place] = (now, 0) if is_due else (reported, suppressed + 1)
            if len(self._entries) > self._size:
                del self._entries[next(iter(self._entries))]
        return suppressed if is_due else None


def _place(subject: BaseException | logging.LogRecord | str) -> Hashable:
    """Return the place where an exception was raised or a record was logged. A string stands for itself."""
    if isinstance(subject, logging.LogRecord):
        if not subject.exc_info or subject.exc_info[1] is None:
            return subject.pathname, subject.lineno
        subject = subject.exc_info[1]
    if isinstance(subject, str):
        return subject
    frames = traceback.extract_tb(subject.__traceback__, limit=-1)
    return type(subject), *((frame.filename, frame.lineno) for frame in frames)


def message_template(record: logging.LogRecord) -> str:
    """Return the message without its arguments, which may be user input. A structlog event is a dictionary."""
    return str(record.msg.get("event") if isinstance(record.msg, dict) else record.msg)


def init_mail(app: Flask) -> None:
    """Email errors to ``MAIL_ADMINS``, except in debug mode."""
    root, admins = logging.getLogger(), app.config["MAIL_ADMINS"]
    for handler in [handler for handler in root.handlers if isinstance(handler, MailHandler)]:
        root.removeHandler(handler)  # of another application in this process
    if admins and not app.debug:
        root.addHandler(MailHandler(app.config["MAIL_URL"], admins, app.import_name))


class MailHandler(logging.Handler):
    """Email errors from a background thread, so that no request waits for the mail server."""

    def __init__(self, url: str, admins: list[str], package: str) -> None:
        super().__init__(logging.ERROR)
        self._url, self._admins, self._package = urlsplit(url), admins, package
        self._throttle, self._queue, self._process = Throttle(), Queue[EmailMessage](100), 0

    def emit(self, record: logging.LogRecord) -> None:
        """Queue an email. Start the thread on first use in each process: a fork does not copy threads."""
        try:
            if (suppressed := self._throttle.record(record)) is None:
                return
            if self._process != os.getpid():
                self._process, self._queue = os.getpid(), Queue(100)
                threading.Thread(target=self._send_queued, args=[self._queue], name="mail", daemon=True).start()
            self._queue.put_nowait(self._compose(record, suppressed))
        except Full:
            log.warning("Email about an error was dropped: the queue is full; check MAIL_URL and the mail server")
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Wait up to one second for queued email. Called at process exit by ``logging.shutdown()``."""
        if self._process == os.getpid():
            with self._queue.all_tasks_done:
                self._queue.all_tasks_done.wait_for(lambda: not self._queue.unfinished_tasks, timeout=1)

    def _compose(self, record: logging.LogRecord, suppressed: int) -> EmailMessage:
        parts, kind = [message_template(record), f"Request ID: {request_id(record)}"], record.name
        if suppressed:
            parts.append(f"{suppressed} more occurrences since the previous email.")
        if record.exc_info and record.exc_info[0]:
            parts.append("".join(traceback.format_exception(*record.exc_info)))
            kind = record.exc_info[0].__name__
        message = EmailMessage()
        message["From"], message["To"], message["Date"] = self._admins[0], ", ".join(self._admins), localtime()
        message["Subject"] = f"{self._package}: {record.levelname} {kind}"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office replies
        message.set_content("\n\n".join(parts)[:100_000].encode(errors="backslashreplace").decode())
        return message

    def _send_queued(self, queue: Queue[EmailMessage]) -> None:
        while True:
            message = queue.get()
            try:
                self._send(message)
            except Exception as error:  # a WARNING: an ERROR would be emailed too
                log.warning("Email about an error was not sent; check MAIL_URL and the mail server: %r", error)
            queue.task_done()

    def _send(self, message: EmailMessage) -> None:
        url, tls = self._url, ssl.create_default_context()
        server = partial(smtplib.SMTP_SSL, context=tls) if url.scheme == "smtps" else smtplib.SMTP
        with server(url.hostname or "", url.port or 0, timeout=5) as smtp:  # port 0: the default
            if url.username:
                if url.scheme == "smtp":
                    smtp.starttls(context=tls)
                smtp.login(unquote(url.username), unquote(url.password or ""))
            smtp.send_message(message)
