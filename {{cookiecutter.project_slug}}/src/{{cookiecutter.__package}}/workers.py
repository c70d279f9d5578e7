"""The workers of gunicorn, which a client cannot hold up, and whose refusals look like ours.

``worker_class`` of ``gunicorn.conf.py``. A proxy that buffers requests spares them all of this.
"""

import errno
import fcntl
import http
import logging
import math
import selectors
import socket
import struct
import sys
import termios
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from flask import Flask
from gunicorn.http import errors as refusals  # type: ignore[import-untyped]
from gunicorn.workers.base import Worker  # type: ignore[import-untyped]
from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]
from gunicorn.workers.sync import SyncWorker  # type: ignore[import-untyped]

from . import errors, fallback
from .edge import SECURITY_HEADERS

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

RATE = 500
"""bytes a second, as slow as a request may come, and its answer be read"""
PATIENCE = 1.0
"""seconds that a client may keep a thread waiting at first; each RATE bytes of a request give it one more"""
LONGEST = 10.0
"""seconds, at most, that it may have left; and that a connection is kept on which nothing ever came"""
UNREAD = 5.0
"""seconds after which it is looked at whether a client still reads"""
LINGER = 0.5
"""Seconds in which a client may read an answer before its connection is closed on it."""


class StalledError(ValueError):
    """A client sends too slowly. No OSError, which gunicorn takes for a client that has gone."""


class Connection(socket.socket):
    """The connection of a client that has only so much time to send its request, and to read the answer."""

    received = 0
    patience = PATIENCE
    since = 0.0
    """when the request began that is under way, on the clock of :func:`time.monotonic`"""
    aborted = False

    def begin(self) -> None:
        """Here comes a request."""
        self.since = time.monotonic()
        self.patience = max(self.patience, PATIENCE)

    def recv(self, size: int, flags: int = 0) -> bytes:
        """
        :raises StalledError: the client is too slow.
        :raises TimeoutError: as the timeout says that was set.
        """
        given = self.gettimeout()
        if given == 0:
            return super().recv(size, flags)
        start = time.monotonic()
        self.settimeout(max(0.001, min(self.patience, LONGEST if given is None else given)))
        try:
            data = super().recv(size, flags)
        except TimeoutError:
            if given:
                raise  # gunicorn discards a body: b"" would be its end, and the rest of it the next request
            if not self.received:
                return b""
            raise StalledError("The client sends too slowly.") from None
        finally:
            self.settimeout(given)
            self.patience -= time.monotonic() - start
        self.received += len(data)
        self.patience = min(LONGEST, self.patience + len(data) / RATE)
        return data

    def sendall(self, data: "ReadableBuffer", flags: int = 0) -> None:
        """
        :raises ConnectionResetError: the client reads too slowly.
        """
        rest, given, unread = memoryview(data), self.gettimeout(), math.inf
        self.settimeout(UNREAD)
        try:
            while rest:
                try:
                    rest = rest[self.send(rest, flags) :]
                except TimeoutError:
                    before, unread = unread, self._unread()
                    if unread > before - RATE * UNREAD:
                        self.abort()
                        raise ConnectionResetError(errno.ECONNRESET, "The client reads too slowly.") from None
        finally:
            self.settimeout(given)

    def _unread(self) -> int:
        """How many bytes of what was sent have not arrived, tcp(7). 0 where the system does not know."""
        with suppress(OSError):
            return int.from_bytes(fcntl.ioctl(self, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
        return 0

    def abort(self) -> None:
        """Let it end with RST instead of FIN, which could look like the end of an answer."""
        self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.aborted = True

    def shutdown(self, how: int) -> None:
        """
        :raises OSError: there is nothing to say good-bye to.
        """
        if self.aborted:
            raise OSError("The connection is aborted.")
        super().shutdown(how)

    @classmethod
    def of(cls, plain: socket.socket) -> "Connection":
        connection = cls(plain.family, plain.type, plain.proto, plain.detach())
        connection.begin()
        return connection


class Answering(Worker):  # type: ignore[misc]
    """What gunicorn refuses before there is a request is answered with a page of ours, without a word of the input."""

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        if not isinstance(self.wsgi, Flask):
            super().handle_error(req, client, addr, exc)
            return
        sent, path = (dict(req.headers), unquote(req.path or "/")) if req else ({}, "/")
        reference = errors.reference({"HTTP_X_REQUEST_ID": sent.get("X-REQUEST-ID", "")})
        extra = {"request_id": reference, "status": (status := _status(exc)), "remote_addr": addr and addr[0]}
        log = logging.getLogger("gunicorn.error")
        if status == 500:
            log.error("Error handling request", exc_info=exc, extra=extra)
        else:
            log.info("Invalid request: %s", exc, extra=extra)
        with suppress(OSError):
            client.sendall(_refusal(self.wsgi, status, path, reference))


def _status(error: Exception) -> int:
    found = [status for kind, status in _STATUSES.items() if isinstance(error, kind)]
    return found[0] if found else 500


_STATUSES: dict[type[Exception], int] = {
    StalledError: 408,
    refusals.InvalidResponseHeader: 500,
    refusals.InvalidResponseHeaderName: 500,
    refusals.ConfigurationProblem: 500,
    refusals.ForbiddenProxyRequest: 403,
    refusals.LimitRequestLine: 414,
    refusals.ExpectationFailed: 417,
    refusals.LimitRequestHeaders: 431,
    refusals.UnsupportedTransferCoding: 501,
    refusals.ParseException: 400,
}


def _refusal(app: Flask, status: int, path: str, reference: str) -> bytes:
    headers, body = fallback.answer(app, status, path, reference)
    present = {name for name, _ in headers}
    headers += [header for header in SECURITY_HEADERS if header[0] not in present]
    lines = [f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _let_go(client: socket.socket) -> None:
    """Give a client that still sends a moment to read its answer. gunicorn gives it more, at the expense of others."""
    with suppress(OSError):
        client.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + LINGER
        with suppress(TimeoutError):
            while (left := deadline - time.monotonic()) > 0:
                client.settimeout(left)
                if not client.recv(65536):
                    break
        client.shutdown(socket.SHUT_RD)


class Threads(Answering, ThreadWorker):  # type: ignore[misc]
    """gthread. A connection gets a thread once its client has begun to send."""

    def accept(self, listener: socket.socket) -> None:
        try:
            super().accept(listener)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                raise
            logging.getLogger("gunicorn.error").warning("No connection can be accepted: %s", error)
            time.sleep(0.1)  # it waits for the next turn, and what is under way may give some back

    def enqueue_req(self, conn: TConn) -> None:
        if not conn.initialized and not conn.data_ready:
            conn.sock = Connection.of(conn.sock)
            conn.sock.setblocking(False)
            try:
                conn.data_ready = bool(conn.sock.recv(1, socket.MSG_PEEK))
            except OSError:
                self._wait_for(conn)
                return
        conn.sock.begin()
        super().enqueue_req(conn)

    def _wait_for(self, conn: TConn) -> None:
        conn.timeout = time.monotonic() + LONGEST
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def murder_pending(self) -> None:
        if not self.alive:  # gunicorn would wait for them to begin, as long as for requests to end
            for conn in self.pending_conns:
                conn.timeout = min(conn.timeout, time.monotonic() + 1)
        super().murder_pending()

    def handle(self, conn: TConn) -> object:
        kept = super().handle(conn)
        if not kept:
            _let_go(conn.sock)
        return kept


class Sync(Answering, SyncWorker):  # type: ignore[misc]
    """sync: one request at a time."""

    def handle(self, listener: socket.socket, client: socket.socket, addr: Any) -> None:
        super().handle(listener, Connection.of(client), addr)
