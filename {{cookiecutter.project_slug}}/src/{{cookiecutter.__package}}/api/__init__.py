"""JSON for programs, under ``/api``. What goes wrong here is answered with a problem (RFC 9457).

Rules have no trailing slash, so that no request is answered with a redirect. Whatever changes something needs a token.
"""

from .views import bp

__all__ = ["bp"]
