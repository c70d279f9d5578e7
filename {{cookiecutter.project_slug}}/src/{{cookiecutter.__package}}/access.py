"""The access log of gunicorn, with fields instead of a line that a path or a User-Agent could forge."""

from datetime import timedelta
from typing import Any
from urllib.parse import quote, unquote

from gunicorn.glogging import Logger  # type: ignore[import-untyped]


class AccessLog(Logger):  # type: ignore[misc]
    """``logger_class`` of ``gunicorn.conf.py``."""

    def access(self, response: Any, request: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        """Log a request. One that the application never answered has no environment to speak of."""
        sent = dict(request.headers)
        path = environ.get("PATH_INFO") or unquote(request.path or "", "latin-1")
        octets = path.encode("latin-1", "replace")
        fields = {
            "method": environ.get("REQUEST_METHOD"),
            "path": octets.decode(errors="replace"),
            "status": int((response.status or "500").split()[0]),
            "bytes": response.sent,
            "duration_ms": request_time // timedelta(milliseconds=1),
            "remote_addr": environ.get("REMOTE_ADDR"),
            "user_agent": sent.get("USER-AGENT"),
            "request_id": environ.get("HTTP_X_REQUEST_ID") or sent.get("X-REQUEST-ID"),
        }
        self.access_log.info("%s %s %s", fields["method"], quote(octets), fields["status"], extra=fields)
