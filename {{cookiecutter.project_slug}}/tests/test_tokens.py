from click.testing import Result
from flask import Flask

from {{ cookiecutter.__package }} import tokens
from {{ cookiecutter.__package }}.database import db


def run(app: Flask, *args: str) -> Result:
    return app.test_cli_runner().invoke(args=["tokens", *args])


def test_token_is_shown_once_and_kept_as_a_hash(app: Flask) -> None:
    token = run(app, "create", "me").output.strip()
    with app.app_context():
        found = tokens.find(token)
        assert found
        assert found.name == "me"
        assert token.partition(".")[2] not in repr(vars(db.session.get(tokens.Token, found.id)))


def test_name_belongs_to_one_token(app: Flask) -> None:
    run(app, "create", "me")
    again = run(app, "create", "me")
    assert again.exit_code == 1
    assert again.output == "Error: There is a token for me. Revoke it first, or choose a name.\n"


def test_tokens_are_listed_without_their_secrets(app: Flask) -> None:
    secrets = [run(app, "create", "b").output.strip(), run(app, "create", "a", "--read-only").output.strip()]
    listed = run(app, "list").output
    assert [line.split("\t")[::2] for line in listed.splitlines()] == [["a", "read-only"], ["b", "may write"]]
    assert not any(secret.partition(".")[2] in listed for secret in secrets)


def test_revoked_token_is_worth_nothing(app: Flask) -> None:
    token = run(app, "create", "me").output.strip()
    assert run(app, "revoke", "me").exit_code == 0
    with app.app_context():
        assert tokens.find(token) is None
    assert run(app, "revoke", "me").output == "Error: There is no token for me. flask tokens list shows them.\n"
