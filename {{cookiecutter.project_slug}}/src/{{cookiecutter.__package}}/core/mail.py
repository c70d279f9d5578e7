"""Email about errors to ``MAIL_ADMINS``."""

import logging
import smtplib
import ssl
import traceback
from email.message import EmailMessage
from email.utils import localtime
from functools import partial
from threading import Thread, active_count
from urllib.parse import unquote, urlsplit

from flask import Flask

from .logging import RequestIDFilter, Throttle


def init_app(app: Flask) -> None:
    """Email errors, except in debug mode."""
    if app.config["MAIL_ADMINS"] and not app.debug:
        logging.getLogger().addHandler(MailHandler(app.config["MAIL_URL"], app.config["MAIL_ADMINS"], app.name))


class MailHandler(logging.Handler):
    """Send an email for each error, at most one a minute for the same place in the code, from a thread."""

    def __init__(self, url: str, admins: list[str], service: str) -> None:
        super().__init__(logging.ERROR)
        self.addFilter(RequestIDFilter())
        self.url, self.admins, self.service = urlsplit(url), admins, service
        self.throttle = Throttle()

    def emit(self, record: logging.LogRecord) -> None:
        # The number of threads is limited, because the mail server may hang.
        if (suppressed := self.throttle.record(record)) is not None and active_count() < 50:
            Thread(target=self._send, args=[self._compose(record, suppressed)], name="mail").start()

    def _compose(self, record: logging.LogRecord, suppressed: int) -> EmailMessage:
        """Compose an email. It has the log message without its arguments, which may be user input."""
        text = f"{record.msg}\n\nRequest ID: {getattr(record, 'request_id', None)}\n"
        text += f"Suppressed since the previous email: {suppressed}\n\n"
        text += "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
        message = EmailMessage()
        message["From"], message["To"], message["Date"] = self.admins[0], ", ".join(self.admins), localtime()
        message["Subject"] = f"{self.service}: {record.levelname} in {record.name}"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office replies
        message.set_content(text[:100_000].encode(errors="backslashreplace").decode())
        return message

    def _send(self, message: EmailMessage) -> None:
        url, tls = self.url, ssl.create_default_context()  # SMTPHandler would not verify the certificate
        server = partial(smtplib.SMTP_SSL, context=tls) if url.scheme == "smtps" else smtplib.SMTP
        try:
            with server(url.hostname or "", url.port or 0, timeout=5) as smtp:  # port 0: the default
                if url.username and url.scheme == "smtp":
                    smtp.starttls(context=tls)
                if url.username:
                    smtp.login(unquote(url.username), unquote(url.password or ""))
                smtp.send_message(message)
        except Exception as error:  # a WARNING: an ERROR would be emailed too
            logging.getLogger(__name__).warning("Email about an error was not sent; check MAIL_URL: %r", error)
