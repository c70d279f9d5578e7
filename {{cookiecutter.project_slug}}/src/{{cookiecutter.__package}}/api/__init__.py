"""JSON API below ``/api``. Errors are problem details (RFC 9457). Requests that write need a token.

URL rules have no trailing slash, so that no request is redirected.
"""

from .views import bp

__all__ = ["bp"]
