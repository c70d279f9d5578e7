"""Bearer tokens (RFC 6750) for requests that write, and the commands ``flask tokens``."""

import hmac
import secrets
from datetime import UTC, datetime
from hashlib import sha256

import click
from flask import request
from sqlalchemy import String, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from .. import errors
from ..core.database import DatabaseGroup, Model, UTCDateTime, db, transaction
from ..core.requests import SAFE_METHODS

cli = DatabaseGroup("tokens", help="Create, list and revoke API tokens.")


class Token(Model):
    """A token. Only the hash of its secret is stored."""

    __tablename__ = "tokens"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    hash: Mapped[str] = mapped_column(String(64))
    read_only: Mapped[bool]
    created: Mapped[datetime] = mapped_column(UTCDateTime)


class TokenRequired(errors.InvalidAPIUsage):
    code = 401
    type = "/problems/token-required"
    title = "Token required"
    description = "Send a token in the Authorization header: Bearer TOKEN."
    documentation = "Requests that write need a token: Authorization: Bearer TOKEN. The operator creates tokens."
    headers = {"WWW-Authenticate": "Bearer"}  # noqa: RUF012


class InvalidToken(errors.InvalidAPIUsage):
    code = 401
    type = "/problems/invalid-token"
    title = "Invalid token"
    description = "The token is invalid or has been revoked."
    headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}  # noqa: RUF012


class ReadOnlyToken(errors.InvalidAPIUsage):
    code = 403
    type = "/problems/read-only-token"
    title = "Read-only token"
    description = "This token is read-only. Use a token that can write."
    headers = {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}  # noqa: RUF012


def require_token() -> None:
    """Raise an error for a write without a token that can write. For ``before_request`` of a blueprint."""
    if request.method in SAFE_METHODS:
        return
    authorization = request.authorization
    if authorization is None or authorization.type != "bearer" or not authorization.token:
        raise TokenRequired
    token = verify_token(authorization.token)
    if token is None:
        raise InvalidToken
    if token.read_only:
        raise ReadOnlyToken


def verify_token(text: str) -> Token | None:
    """Return the stored token, or None if the text is not a valid token."""
    token_id, _, secret = text.partition(".")
    if not (token_id.isascii() and token_id.isdigit() and len(token_id) < 10):
        return None
    with db.sessionmaker() as session:  # a transaction of db.session would switch off the retry of @transaction
        token = session.get(Token, int(token_id))
    return token if token and hmac.compare_digest(token.hash, _hash(secret)) else None


@transaction
def create_token(name: str, read_only: bool = False) -> str:
    """Store a new token and return its text, which cannot be shown again.

    :raises IntegrityError: if a token with this name exists.
    """
    secret = secrets.token_urlsafe(32)
    token = Token(name=name, hash=_hash(secret), read_only=read_only, created=datetime.now(UTC))
    db.session.add(token)
    db.session.flush()
    return f"{token.id}.{secret}"


def _hash(secret: str) -> str:
    """Return the SHA-256 hash. A slow hash is not needed, because the secret has 32 random bytes."""
    return sha256(secret.encode(errors="replace")).hexdigest()


@cli.command("create")
@click.argument("name")
@click.option("--read-only", is_flag=True, help="Create a token that cannot write.")
def _create(name: str, read_only: bool) -> None:
    """Create a token for NAME and print it. It cannot be shown again."""
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise click.ClickException("The name must have 1 to 100 printable characters.")
    try:
        click.echo(create_token(name, read_only))
    except IntegrityError:  # the name is the only constraint
        raise click.ClickException(f"There is a token for {name}. Revoke it first, or choose a name.") from None


@cli.command("list")
def _list() -> None:
    """List the tokens: name, date of creation, permission."""
    for token in db.session.scalars(select(Token).order_by(Token.name)):
        click.echo(f"{token.name}\t{token.created:%Y-%m-%d}\t{'read-only' if token.read_only else 'may write'}")


@cli.command("revoke")
@click.argument("name")
@transaction
def _revoke(name: str) -> None:
    """Revoke the token of NAME."""
    token = db.session.scalar(select(Token).filter_by(name=name))
    if token is None:
        raise click.ClickException(f"There is no token for {name}. flask tokens list shows them.")
    db.session.delete(token)
