from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask
from flask.testing import FlaskClient

from {{ cookiecutter.__package }} import posts
from {{ cookiecutter.__package }}.database import db


def publish(app: Flask, title: str, body: str = "x", days: int = 0) -> None:
    with app.app_context(), db.session.begin():
        posts.add(posts.Draft(title=title, body=body), datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=days))


def import_posts(app: Flask, *files: str) -> Result:
    return app.test_cli_runner().invoke(args=["posts", "import", *files])


@pytest.mark.parametrize("url", ["/blog/", "/blog"])
def test_empty_blog(client: FlaskClient, url: str) -> None:
    assert "<h1>Blog</h1>" in client.get(url).text
    assert "There are no posts yet." in client.get(url).text


def test_newest_posts_come_first_and_older_ones_on_the_next_page(app: Flask, client: FlaskClient) -> None:
    for day in range(21):
        publish(app, f"Day {day}.", days=day)
    first = client.get("/blog/").text
    assert first.index("Day 20.") < first.index("Day 1.")
    assert "Day 0." not in first
    older = first.partition('rel="next" href="')[2].partition('"')[0]
    assert "Day 0." in client.get(older).text
    assert "Day 1." not in client.get(older).text
    assert 'rel="next"' not in client.get(older).text


def test_page_that_no_link_leads_to_is_404(client: FlaskClient) -> None:
    assert client.get("/blog/?before=x").status_code == 404


def test_text_is_markdown_without_html_or_scripts(app: Flask, client: FlaskClient) -> None:
    publish(app, "<b>Bold</b>", "# Heading\n\n*emphasis* <script>x</script> [link](javascript:x)")
    publish(app, "Long", "[a]: " + "x" * 25_000 + "\n\n" + "[a] " * 6_000)
    assert len(client.get("/blog/long").text) < 100_000
    page = client.get("/blog/b-bold-b").text
    assert "<h1>&lt;b&gt;Bold&lt;/b&gt;</h1>" in page
    assert "<h2>Heading</h2>" in page
    assert "<em>emphasis</em>" in page
    assert "<script" not in page
    assert 'href="javascript' not in page


@pytest.mark.parametrize("slug", ["unknown", "%00"])
def test_unknown_post_has_a_page_of_the_blog(client: FlaskClient, slug: str) -> None:
    response = client.get(f"/blog/{slug}")
    assert response.status_code == 404
    assert "<h1>There is no such post</h1>" in response.text


def test_import_publishes_and_twice_changes_nothing(app: Flask, client: FlaskClient, folder: Path) -> None:
    Path("Hello World.md").write_text("---\ntitle: Hello\ndate: 2026-02-01\n---\n\nSome *text*.\n")
    assert import_posts(app, "Hello World.md").output == "1 added\n"
    page = client.get("/blog/hello-world").text
    assert "<h1>Hello</h1>" in page
    assert 'datetime="2026-02-01T00:00:00+00:00"' in page
    assert import_posts(app, "Hello World.md").output == "1 unchanged\n"

    Path("Hello World.md").write_text("---\ntitle: Hello again\n---\nSome *text*.\n")
    assert import_posts(app, "Hello World.md").output == "1 changed\n"
    page = client.get("/blog/hello-world").text
    assert "<h1>Hello again</h1>" in page
    assert "2026-02-01" in page


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no front matter", "line 1: does not start with front matter"),
        (b"---\ntitle: [\n---\nx", "line 3: is not YAML"),
        (b"---\n- title\n---\nx", "line 2: is not front matter"),
        (b"---\ntitle: x\ntags: y\n---\nx", "line 3: tags: Extra inputs are not permitted"),
        (b"---\nslug: x\n---\nx", "line 1: title: Field required"),
        (b"---\ntitle: x\ndate: soon\n---\nx", "line 3: date: Value error, write it as 2026-01-31"),
        (b"---\ntitle: x\ndate: 2026\n---\nx", "line 3: date: Value error, write it as 2026-01-31"),
        (b"---\ntitel: x\n---\nx", "line 2: titel: Extra inputs are not permitted"),
        (b"---\ntitle: !!bool x\n---\nx", "line 2: is not YAML"),
        (b"---\ntitle: " + b"[" * 20_000 + b"\n---\nx", "line 2: is not YAML"),
        (b"---\ntitle: x\ndate: 2026-13-01\n---\nx", "line 2: is not YAML: "),
        (b"---\ntitle: x\n---\n", "line 1: body: String should have at least 1 character"),
        (b"---\ntitle: x\n---\n\n\xff", "line 5: is not UTF-8"),
    ],
)
def test_bad_file_is_told_with_its_line_and_the_others_go_in(
    app: Flask, client: FlaskClient, folder: Path, content: bytes, message: str
) -> None:
    Path("good.md").write_text("---\ntitle: Good\n---\nx")
    Path("bad.md").write_bytes(content)
    result = import_posts(app, "bad.md", "missing.md", "good.md")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[0].startswith(f"bad.md: {message}")
    assert result.stderr.splitlines()[1:] == ["missing.md: No such file or directory"]
    assert result.stdout == "1 added, 2 refused\n"
    assert client.get("/blog/good").status_code == 200


def test_two_files_are_never_one_post(app: Flask, client: FlaskClient, folder: Path) -> None:
    for name in ("a", "b"):
        Path(name).mkdir()
        Path(name, "same.md").write_text(f"---\ntitle: {name}\n---\nx")
    for outcome in ("added", "unchanged"):
        result = import_posts(app, "a/same.md", "b/same.md")
        assert result.stderr == "b/same.md: line 1: has the same slug as a/same.md\n"
        assert result.stdout == f"1 {outcome}, 1 refused\n"


def test_long_import_shows_how_far_it_is(app: Flask, folder: Path) -> None:
    files = [f"{number}.md" for number in range(20)]
    for name in files:
        Path(name).write_text("---\ntitle: x\nslug:\n---\nx")
    assert "Importing" in import_posts(app, *files).output
    assert "Importing" not in import_posts(app, *files[:19]).output
