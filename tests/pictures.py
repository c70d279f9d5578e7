"""``make pictures``: take the pictures of the README, of the running service in Debian's Chromium."""

import html
import sys
import tempfile
from base64 import b64encode
from http import HTTPStatus
from pathlib import Path
from typing import Any

from browser import CHROMIUM, chromium
from conftest import TEMPLATE, bake_into, install, user_environment
from playwright.sync_api import Browser
from service import Answer, Service

OUT = TEMPLATE / "docs" / "pictures"
FRAME = """<!doctype html>
<style>
  body { margin: 0; padding: 28px; display: flex; gap: 28px; background: #e8ebef; font-family: system-ui, sans-serif; }
  figure { margin: 0; flex: 1; background: #fff; border-radius: 10px; overflow: hidden; box-shadow: 0 1px 4px #0003; }
  figcaption { padding: 10px 16px; background: #f6f7f9; border-bottom: 1px solid #d9dee4; }
  figcaption, pre { font: 14px/1.5 ui-monospace, monospace; }
  img { display: block; width: 100%%; }
  pre { margin: 0; padding: 16px; white-space: pre-wrap; overflow-wrap: anywhere; }
</style>
<figure><figcaption>GET /no-such-page</figcaption><img src="data:image/png;base64,%s"></figure>
<figure><figcaption>curl -i -X DELETE /api/posts</figcaption><pre>%s</pre></figure>
"""
GRID = """
<style>
  body { margin: 0; padding: 20px; background: #e8ebef; }
  body { display: grid; grid-template-columns: repeat(4, 1fr); gap: 20px; }
  img { display: block; width: 100%; border-radius: 10px; box-shadow: 0 1px 4px #0003; }
</style>
"""
FAIL = """
from flask import abort

def fail(status):
    abort(status, **({"retry_after": 300} if status == 503 else {}))

app.add_url_rule("/fail/<int:status>", "fail", fail)
"""
PAGES = [
    ("/no-such-page", "en", "light"),
    ("/no-such-page", "ar", "light"),
    ("/fail/503", "fr", "dark"),
    ("/fail/403", "ja", "light"),
    ("/fail/500", "fa", "dark"),
    ("/blog/no/such/post", "de", "light"),
    ("/fail/413", "zh-Hans", "light"),
    ("/fail/401", "es", "dark"),
]


def main() -> None:
    if not CHROMIUM:
        sys.exit("Chromium is missing. Install it: apt-get install chromium")
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        project = bake_into(Path(folder))
        install(project, "--no-dev")
        service = Service(project, Path(folder), FAIL, user_environment(SECRET_KEY="pictures"))
        try:
            take_errors(browser, service)
            take_languages(browser, service)
        finally:
            service.stop()


def take_errors(browser: Browser, service: Service) -> None:
    page = screenshot(browser, service, "/no-such-page", device_scale_factor=2, viewport={"width": 560, "height": 500})
    problem = html.escape(format_like_curl(service.ask("DELETE", "/api/posts")))
    save(browser, "errors", FRAME % (page, problem), 1200)


def take_languages(browser: Browser, service: Service) -> None:
    phone = {"width": 390, "height": 590}
    pages = [
        screenshot(browser, service, path, locale=tag, color_scheme=scheme, viewport=phone)
        for path, tag, scheme in PAGES
    ]
    save(browser, "languages", GRID + "".join(f'<img src="data:image/png;base64,{page}">' for page in pages), 1200)


def screenshot(browser: Browser, service: Service, path: str, **options: Any) -> str:
    """Return a screenshot of the whole page, as PNG in base64."""
    page = browser.new_page(**options)
    page.goto(f"http://127.0.0.1:{service.port}{path}")
    return b64encode(page.screenshot(full_page=True)).decode()


def save(browser: Browser, name: str, content: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 540})
    page.set_content(content)
    page.screenshot(path=OUT / f"{name}.png", full_page=True)


def format_like_curl(answer: Answer) -> str:
    headers = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
    return f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase.upper()}\n{headers}\n\n{answer.body.decode()}"


if __name__ == "__main__":
    main()
