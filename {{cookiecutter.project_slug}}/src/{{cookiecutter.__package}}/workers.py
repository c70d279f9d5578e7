"""The workers of gunicorn, which a client cannot hold up, and whose refusals look like ours.

``worker_class`` of ``gunicorn.conf.py``. A proxy that buffers requests spares them all of this.
"""

import errno
import http
import logging
import selectors
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from flask import Flask
from gunicorn.http import errors as refusals  # type: ignore[import-untyped]
from gunicorn.workers.base import Worker  # type: ignore[import-untyped]
from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]
from gunicorn.workers.sync import SyncWorker  # type: ignore[import-untyped]

from . import errors, fallback
from .edge import SECURITY_HEADERS

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PATIENCE = 1.0
"""Seconds that a client may keep a thread waiting for its request, and one more for each RATE bytes of it."""
RATE = 500
"""bytes a second, as slow as a request may come"""
LONGEST = 10.0
"""seconds, at most, without a single byte"""
UNREAD = 5.0
"""seconds in which a client has to read PIECE bytes of an answer"""
PIECE = 64 * 1024
LINGER = 0.5
"""Seconds in which a client may read an answer before its connection is closed on it."""


class StalledError(ValueError):
    """A client sends too slowly. No OSError, which gunicorn takes for a client that has gone."""


class Connection(socket.socket):
    """The connection of a client that has only so much time to send its request, and to read the answer."""

    received = 0
    waited = 0.0
    aborted = False

    def recv(self, size: int, flags: int = 0) -> bytes:
        """
        :raises StalledError: the client is too slow.
        """
        given = self.gettimeout()
        if given == 0:
            return super().recv(size, flags)
        start, patience = time.monotonic(), PATIENCE + self.received / RATE - self.waited
        self.settimeout(max(0.001, min(patience, LONGEST if given is None else given)))
        try:
            data = super().recv(size, flags)
        except TimeoutError:
            if given or not self.received:
                return b""
            raise StalledError("The client sends too slowly.") from None
        finally:
            self.settimeout(given)
            self.waited += time.monotonic() - start
        self.received += len(data)
        return data

    def sendall(self, data: "ReadableBuffer", flags: int = 0) -> None:
        """
        :raises ConnectionResetError: the client does not read.
        """
        whole = memoryview(data)
        with self._patience():
            for start in range(0, len(whole), PIECE):
                super().sendall(whole[start : start + PIECE], flags)

    def sendfile(self, *args: Any, **options: Any) -> int:
        """
        :raises ConnectionResetError: the client does not read.
        """
        with self._patience():
            return super().sendfile(*args, **options)

    @contextmanager
    def _patience(self) -> Iterator[None]:
        given = self.gettimeout()
        self.settimeout(UNREAD)
        try:
            yield
        except TimeoutError:
            self.abort()
            raise ConnectionResetError(errno.ECONNRESET, "The client does not read.") from None
        finally:
            self.settimeout(given)

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
        return cls(plain.family, plain.type, plain.proto, plain.detach())


class Answering(Worker):  # type: ignore[misc]
    """What gunicorn refuses before there is a request is answered with a page of ours, without a word of the input."""

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        if not isinstance(self.wsgi, Flask):
            super().handle_error(req, client, addr, exc)
            return
        reference = errors.reference({})
        extra = {"request_id": reference, "status": (status := _status(exc)), "remote_addr": addr and addr[0]}
        log = logging.getLogger("gunicorn.error")
        if status == 500:
            log.error("Error handling request", exc_info=exc, extra=extra)
        else:
            log.info("Invalid request: %s", exc, extra=extra)
        with suppress(OSError):
            client.sendall(_refusal(self.wsgi, status, reference))


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


def _refusal(app: Flask, status: int, reference: str) -> bytes:
    headers, body = fallback.answer(app, status, "/", reference)
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
                conn.timeout = time.monotonic() + self.cfg.keepalive
                self.pending_conns.append(conn)
                self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))
                return
        super().enqueue_req(conn)

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
