"""A mail server, made of Twisted: ``python smtpd.py PORT FOLDER [CERTIFICATE]``. Each mail is a file in the folder.

With a certificate, which has its key beside it in the file, it offers STARTTLS, and wants the user ``me`` with the
password ``p@ss``.
"""

# mypy: ignore-errors
# The interfaces of zope, which Twisted is typed with, need a plugin.

import sys
from pathlib import Path
from typing import Any

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import Portal
from twisted.internet import defer, endpoints, reactor, ssl
from twisted.internet.protocol import Factory
from twisted.mail import imap4, smtp

PORT, FOLDER, *CERTIFICATE = sys.argv[1:]


class Mail:
    """What :class:`twisted.mail.interfaces.IMessage` has."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def lineReceived(self, line: bytes) -> None:  # noqa: N802
        self.lines.append(line)

    def eomReceived(self) -> Any:  # noqa: N802
        part = Path(FOLDER, f"{len(list(Path(FOLDER).iterdir())):04}")
        part.write_bytes(b"\n".join(self.lines))
        part.rename(part.with_suffix(".eml"))
        return defer.succeed(None)

    def connectionLost(self) -> None:  # noqa: N802
        self.lines.clear()


class Session(smtp.ESMTP):
    def validateFrom(self, helo: Any, origin: Any) -> Any:  # noqa: N802
        if CERTIFICATE and not self.authenticated:
            raise smtp.SMTPBadSender(origin)
        return origin

    def validateTo(self, user: Any) -> Any:  # noqa: N802
        return Mail

    def receivedHeader(self, helo: Any, origin: Any, recipients: Any) -> bytes:  # noqa: N802
        """How it came, in the words of RFC 3848."""
        return b"Received: by localhost with ESMTP" + b"S" * self.startedTLS + b"A" * self.authenticated


class Everybody:
    def requestAvatar(self, user: Any, mind: Any, *interfaces: Any) -> Any:  # noqa: N802
        return interfaces[0], None, lambda: None


class Sessions(Factory):
    def buildProtocol(self, address: Any) -> Any:  # noqa: N802
        if not CERTIFICATE:
            return Session()
        certificate = ssl.DefaultOpenSSLContextFactory(CERTIFICATE[0], CERTIFICATE[0])
        session = Session({b"PLAIN": imap4.PLAINCredentials}, certificate)
        session.portal = Portal(Everybody(), [InMemoryUsernamePasswordDatabaseDontUse(me=b"p@ss")])
        return session


endpoints.TCP4ServerEndpoint(reactor, int(PORT), interface="127.0.0.1").listen(Sessions())
reactor.run()
