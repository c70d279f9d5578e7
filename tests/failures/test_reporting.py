"""Sentry, the mail server or the disk of the log fail: requests are served all the same."""

import os
import socket
import socketserver
import ssl
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest
from conftest import Serve, need
from helpers import VIEWS, assert_error, wait_for
from service import free_port

BUG = """
@both
def bug(): raise RuntimeError("secret")
"""


@pytest.mark.parametrize("kind", ["refuses", "does not answer"])
@pytest.mark.parametrize("channel", ["Sentry", "mail"])
def test_no_request_waits_for_a_report(serve: Serve, channel: str, kind: str) -> None:
    """The log says once that reports are lost, and the service stops in time."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        address = f"127.0.0.1:{free_port() if kind == 'refuses' else silent.getsockname()[1]}"
        sentry = {"SENTRY_DSN": f"http://public@{address}/1"}
        mail = {"MAIL_ADMINS": "me@example.org", "MAIL_URL": f"smtp://{address}"}
        service = serve(VIEWS + BUG, WEB_CONCURRENCY="1", **(sentry if channel == "Sentry" else mail))
        begun = time.monotonic()
        with ThreadPoolExecutor(4) as clients:
            assert {answer.status for answer in clients.map(service.get, ["/bug"] * 12)} == {500}
        assert_error(service.get("/bug"), 500, "")
        assert time.monotonic() - begun < 10
        if kind == "refuses":
            lost = "Sentry events were dropped" if channel == "Sentry" else "Email about an error was not sent"
            wait_for(lambda: lost in service.text)
            assert service.text.count(lost) == 1
        begun = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - begun < 15


class MailServer(socketserver.ThreadingTCPServer):
    """An SMTP server with TLS, from the start (smtps) or after STARTTLS. ``received`` has what clients sent."""

    daemon_threads = True

    def __init__(self, folder: Path, scheme: str) -> None:
        self.certificate, key = folder / "certificate.pem", folder / "key.pem"
        name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        files = ["-keyout", key, "-out", self.certificate]
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *name, *files], check=True, capture_output=True
        )
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(self.certificate, key)
        self.scheme, self.received = scheme, list[bytes]()
        super().__init__(("127.0.0.1", 0), MailSession)


class MailSession(socketserver.BaseRequestHandler):
    server: MailServer

    def handle(self) -> None:
        with suppress(OSError):  # the client has not accepted the certificate
            if self.server.scheme == "smtps":
                self.start_tls()
            self.request.sendall(b"220 ready\r\n")
            while command := self.read(b"\n"):
                self.answer(command)
        self.request.close()

    def start_tls(self) -> None:
        self.request = self.server.context.wrap_socket(self.request, server_side=True)

    def read(self, end: bytes) -> bytes:
        data = b""
        while not data.endswith(end) and (part := self.request.recv(1)):
            data += part
        self.server.received.append(data)
        return data

    def answer(self, command: bytes) -> None:
        verb = command.split()[0].upper()
        answers = {b"EHLO": b"250-localhost\r\n250-STARTTLS\r\n250 AUTH PLAIN", b"STARTTLS": b"220 go"}
        answers |= {b"AUTH": b"235 ok", b"DATA": b"354 go"}
        self.request.sendall(answers.get(verb, b"250 ok") + b"\r\n")
        if verb == b"STARTTLS":
            self.start_tls()
        if verb == b"DATA":
            self.read(b"\r\n.\r\n")
            self.request.sendall(b"250 ok\r\n")


@pytest.mark.parametrize("is_trusted", [True, False])
@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_mail_is_sent_with_tls_to_a_server_whose_certificate_is_trusted(
    serve: Serve, tmp_path: Path, scheme: str, is_trusted: bool
) -> None:
    """With a user name, smtp:// needs STARTTLS."""
    with MailServer(tmp_path, scheme) as server:
        Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        url = f"{scheme}://me:hidden@localhost:{server.server_address[1]}"
        trust = {"SSL_CERT_FILE": str(server.certificate)} if is_trusted else {}
        service = serve(VIEWS + BUG, WEB_CONCURRENCY="1", MAIL_ADMINS="me@example.org", MAIL_URL=url, **trust)
        request_id = service.get("/bug").headers["X-Request-ID"]
        if is_trusted:
            wait_for(lambda: any(b"RuntimeError" in data for data in server.received))
            assert any(request_id.encode() in data for data in server.received)
        else:
            wait_for(lambda: "Email about an error was not sent" in service.text)
            assert "CERTIFICATE_VERIFY_FAILED" in service.text
            assert not any(b"AUTH" in data or b"MAIL" in data for data in server.received)
        server.shutdown()


def test_full_disk_of_the_log(serve: Serve, tmp_path: Path) -> None:
    """Lines are lost while the disk is full, and written again afterwards."""
    need(os.geteuid() == 0, "A small disk is missing. Mounting one needs root.")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=True)
    try:
        service = serve(VIEWS, WEB_CONCURRENCY="1")
        assert service.stop() == 0
        service.errors = disk / "log"
        service.start()
        ballast = disk / "ballast"
        with pytest.raises(OSError, match="No space left"):
            ballast.write_bytes(bytes(2_000_000))
        for _ in range(50):
            assert service.get("/healthy").status == 200
            assert service.get("/unknown").status == 404
        ballast.unlink()
        assert service.get("/healthy", X_Request_ID="after").status == 200
        wait_for(lambda: "after" in service.errors.read_text())
        assert service.stop() == 0
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)
