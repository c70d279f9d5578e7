"""Mail to MAIL_ADMINS about what is logged as an error, for who has no Sentry. Without MAIL_ADMINS there is none.

It holds what Sentry would get, not what a user sent. Who logs an error never waits for the mail server.
"""

import logging
import os
import smtplib
import ssl
import sys
from email.message import EmailMessage
from email.utils import localtime
from logging.handlers import QueueHandler, QueueListener, SMTPHandler
from queue import Queue
from urllib.parse import unquote, urlsplit

from flask import Flask, has_request_context, request

from . import errors, reporting

PATIENCE = 1
"""Seconds that the end of the process waits for the last mails."""


def init_app(app: Flask) -> None:
    """Mail errors, each cause once a minute. Never from development."""
    admins = app.config["MAIL_ADMINS"]
    if admins and not app.debug:
        mailer = Mailer(app.config["MAIL_URL"], app.config["MAIL_SENDER"] or admins[0], admins)
        root = logging.getLogger()
        for other in [handler for handler in root.handlers if isinstance(handler, Outbox)]:
            root.removeHandler(other)  # of another application in this process
        root.addHandler(Outbox(mailer, reporting.Causes()))


class _Quiet(logging.Handler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """A line in the log, and not an error, which would have to be mailed too."""
        logging.getLogger(__name__).warning("An error was not mailed to MAIL_ADMINS: %r", sys.exc_info()[1])


class Outbox(_Quiet, QueueHandler):
    """Hands errors to a thread that mails them. What does not fit into the queue is in the log alone."""

    queue: "Queue[logging.LogRecord]"

    def __init__(self, mailer: logging.Handler, causes: reporting.Causes) -> None:
        super().__init__(Queue())
        self.setLevel(logging.ERROR)
        self._mailer, self._causes = mailer, causes
        self._process = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            held_back = self._causes.meet(record).held_back
            if held_back is not None:
                self.enqueue(_letter(record, held_back))
        except Exception:
            self.handleError(record)

    def enqueue(self, record: logging.LogRecord) -> None:
        if self._process != os.getpid():  # the thread of another process is not in this one
            self.queue = Queue(100)
            QueueListener(self.queue, self._mailer).start()
            self._process = os.getpid()
        super().enqueue(record)

    def flush(self) -> None:
        """Wait until everything is mailed, but not long. At its end the process asks for this."""
        if self._process != os.getpid():
            return
        with self.queue.all_tasks_done:
            self.queue.all_tasks_done.wait_for(lambda: not self.queue.unfinished_tasks, PATIENCE)
        if unsent := self.queue.unfinished_tasks:
            logging.getLogger(__name__).warning("The mail server is too slow: %s errors were not mailed", unsent)


def _letter(record: logging.LogRecord, held_back: int) -> logging.LogRecord:
    """Its arguments are left out: they may be what a user sent."""
    text, kind = [str(record.msg)], record.name
    of_record = getattr(record, "request_id", None)
    if reference := errors.reference(request.environ) if has_request_context() else of_record:
        text.append(f"Reference: {reference}")
    if held_back:
        text.append(f"And {held_back} more since the last mail about it.")
    if record.exc_info and record.exc_info[0]:
        text.append(logging.Formatter().formatException(record.exc_info))
        kind = record.exc_info[0].__name__
    subject = f"{__package__}: {record.levelname} {kind}"
    return logging.makeLogRecord({"msg": "\n\n".join(text)[:100_000], "subject": subject})


class Mailer(_Quiet, SMTPHandler):
    """Sends mail through the server that a URL names.

    A certificate has to be right, which it need not be for SMTPHandler, and a password is never sent without TLS.
    """

    def __init__(self, url: str, sender: str, receivers: list[str]) -> None:
        server = urlsplit(url)
        credentials = (unquote(server.username), unquote(server.password or "")) if server.username else None
        super().__init__(server.hostname or "", sender, receivers, "", credentials)
        self._port = server.port or 0  # 25, or 465 with TLS
        self._tls = server.scheme == "smtps"

    def createLock(self) -> None:  # noqa: N802
        """None: one thread mails, and the end of the process would wait for a lock."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            with self._connect() as smtp:
                if self.username and not self._tls:
                    smtp.starttls(context=ssl.create_default_context())
                if self.username:
                    smtp.login(self.username, self.password)
                smtp.send_message(self._message(record))
        except Exception:
            self.handleError(record)

    def _connect(self) -> smtplib.SMTP:
        if self._tls:
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(self.mailhost, self._port, timeout=self.timeout, context=context)
        return smtplib.SMTP(self.mailhost, self._port, timeout=self.timeout)

    def _message(self, record: logging.LogRecord) -> EmailMessage:
        message = EmailMessage()
        message["From"], message["To"] = self.fromaddr, ", ".join(self.toaddrs)
        message["Subject"], message["Date"] = vars(record)["subject"], localtime()
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody is to answer that they are on holiday
        message.set_content(str(record.msg).encode(errors="backslashreplace").decode())
        return message
