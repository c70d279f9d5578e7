"""A small application that exists already, and whose owner has copied ``errors`` into it."""

from flask import Flask, abort, g, render_template

from . import errors
from .blueprints import api, backoffice, bank, tenant


def create_app() -> Flask:
    app = Flask(__name__)
    errors.init_app(app)

    app.register_blueprint(api)
    app.register_blueprint(backoffice)
    app.register_blueprint(bank, url_prefix="/bank")
    app.register_blueprint(tenant)

    @app.context_processor
    def add_cart() -> dict[str, object]:
        return {"cart": g.cart}  # which only the home page has

    @app.get("/")
    def home() -> str:
        g.cart = []
        return render_template("home.html")

    @app.get("/orders/<int:number>")
    def order(number: int) -> str:
        return abort(410, f"Order {number} <was> deleted.")

    @app.get("/crash")
    def crash() -> str:
        raise RuntimeError("secret")

    return app
