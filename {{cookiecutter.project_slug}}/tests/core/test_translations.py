"""The languages of the error pages: ``errors/translations/`` has a file for each."""

from pathlib import Path

import pytest
from conftest import MakeApp
from flask import Blueprint, Flask
from flask.testing import FlaskClient

from {{ cookiecutter.__package }} import errors
from {{ cookiecutter.__package }}.errors import rendering

ITALIAN = """
dir = "ltr"
way_home = "Vai alla pagina iniziale"
request_id_label = "ID della richiesta:"

[retry]
5 = "Riprova tra 5 minuti."

[errors.404]
heading = "Pagina non trovata"
explanation = ["Controlla l'indirizzo."]

[errors.4xx]
heading = "Errore"
explanation = []

[errors.5xx]
heading = "Errore"
explanation = []

[tested.404]
heading = "Libro non trovato"
explanation = []
"""


@pytest.fixture
def translations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is used instead of ``translations/``. It has two languages, English and Italian."""
    (tmp_path / "translations").mkdir()
    (tmp_path / "translations/it.toml").write_text(ITALIAN, "utf-8")
    monkeypatch.setattr(rendering, "_TRANSLATIONS", tmp_path / "translations")
    return tmp_path / "translations"


def test_page_is_in_each_language_that_has_a_file(app: Flask, client: FlaskClient) -> None:
    for language, texts in rendering.load_translations().items():
        for accepted in (language, f"xx,{language};q=0.5"):
            response = client.get("/unknown", headers={"Accept-Language": accepted})
            assert f'<html lang="{language}" dir="{texts["dir"]}">' in response.text
            assert response.headers["Content-Language"] == language


def test_page_is_in_the_default_language_for_other_visitors(app: Flask, client: FlaskClient) -> None:
    default = errors.HTMLRenderer("errors").page_set(app).languages[0]
    for accepted in ("", "*", "xx", "xx-YY;q=0.9", "-,-;q=1", "\x80\xff", "x" * 10_000):
        response = client.get("/unknown", headers={"Accept-Language": accepted})
        assert (response.status_code, response.headers["Content-Language"]) == (404, default)


def test_language_of_the_page_is_the_one_that_the_visitor_prefers(translations: Path, make_app: MakeApp) -> None:
    for language in ("fa", "zh-Hans"):
        (translations / f"{language}.toml").write_text(ITALIAN, "utf-8")
    client = make_app().test_client()
    for accepted, language in (
        ("fa-IR,fa;q=0.9,en;q=0.8", "fa"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh-Hans"),
        ("en-GB,fa;q=0.9", "en"),
        ("fa;q=0,zh;q=0.1", "zh-Hans"),
    ):
        response = client.get("/unknown", headers={"Accept-Language": accepted})
        assert response.headers["Content-Language"] == language, accepted
        assert "Accept-Language" in response.headers["Vary"]


@pytest.mark.usefixtures("translations")
def test_texts_of_a_file_are_used(make_app: MakeApp) -> None:
    app = make_app()
    bp = Blueprint("tested", __name__, url_prefix="/tested")
    errors.register_renderer(bp, errors.HTMLRenderer("tested"))
    app.register_blueprint(bp)
    client, italian = app.test_client(), {"Accept-Language": "it-IT"}
    assert "<h1>Pagina non trovata</h1>" in client.get("/unknown", headers=italian).text
    assert "<h1>Libro non trovato</h1>" in client.get("/tested/unknown", headers=italian).text
    assert 'lang="it"' not in client.delete("/", headers=italian).text  # 405 has no text in Italian


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('way_home = "Vai alla pagina iniziale"', "", "way_home"),
        ("request_id_label", "request_id_lable", "request_id_lable"),
        ("[errors.404]", "[404]", "404.heading"),
        ("errors.4xx", "errors.400", "errors.4xx"),
        ("[tested.404]", "[tested.x]", "tested.x"),
        ("heading = ", "haeding = ", "haeding"),
        ('explanation = ["Controlla l\'indirizzo."]', "", "explanation"),
        ('explanation = ["Controlla l\'indirizzo."]', 'explanation = "x"', "explanation"),
        ("5 = ", "five = ", "retry.five"),
        ('dir = "ltr"', "dir = ltr", "line 2"),
    ],
)
def test_missing_or_misspelt_key_is_a_startup_error_that_names_the_file_and_the_key(
    translations: Path, make_app: MakeApp, old: str, new: str, key: str
) -> None:
    (translations / "it.toml").write_text(ITALIAN.replace(old, new, 1), "utf-8")
    with pytest.raises(RuntimeError, match=rf"^translations/it\.toml: .*{key}"):
        make_app()
