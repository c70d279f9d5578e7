import pytest
from flask.testing import FlaskClient


def test_created_post_can_be_read(client: FlaskClient) -> None:
    created = client.post("/api/posts", json={"title": "News", "body": "Good news."})
    assert created.status_code == 201
    assert client.get(created.headers["Location"]).get_json() == created.get_json()
    assert created.get_json() in client.get("/api/posts").get_json()["posts"]


def test_what_is_wrong_with_a_body_is_said_where(client: FlaskClient) -> None:
    response = client.post("/api/posts", json={"title": "", "a/b": 1})
    assert response.status_code == 422
    assert {error["pointer"] for error in response.get_json()["errors"]} == {"#/title", "#/body", "#/a~1b"}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"title": NaN}', b"[" * 200_000, b"9" * 5_000, b'{"title": "\xff"}', "{}".encode("utf-16")],
    ids=["empty", "cut", "NaN", "deep", "huge number", "not UTF-8", "UTF-16"],
)
def test_malformed_json_is_400(client: FlaskClient, body: bytes) -> None:
    response = client.post("/api/posts", data=body, content_type="application/json")
    assert response.status_code == 400
    assert response.get_json()["detail"] == "The body is not valid JSON."


def test_other_media_type_is_415(client: FlaskClient) -> None:
    assert client.post("/api/posts", data="title=News").status_code == 415


def test_unknown_post_is_404(client: FlaskClient) -> None:
    assert client.get("/api/posts/0").get_json()["detail"] == "There is no post with this id."
