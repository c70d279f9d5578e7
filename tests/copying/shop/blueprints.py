"""Blueprints for programs, whose prefixes come about in every way that Flask has."""

from flask import Blueprint, abort

from . import errors

api = Blueprint("api", __name__, url_prefix="/api")
"""With a prefix of its own."""

stock = Blueprint("stock", __name__, url_prefix="/stock")
backoffice = Blueprint("backoffice", __name__, url_prefix="/backoffice")
backoffice.register_blueprint(stock)
"""Stock is nested: ``/backoffice/stock`` is for programs, the rest of ``/backoffice`` for people."""

bank = Blueprint("bank", __name__, url_prefix="/unused")
"""Registered with another prefix than its own."""

tenant = Blueprint("tenant", __name__, url_prefix="/<tenant>/api")
"""With a variable in its prefix."""

for blueprint in (api, stock, bank, tenant):
    errors.register_renderer(blueprint, errors.render_problem)


@api.get("/orders/<int:number>")
def order(number: int) -> str:
    return abort(410, f"Order {number} <was> deleted.")


@api.get("/crash")
@stock.get("/crash")
@bank.get("/crash")
def crash() -> str:
    raise RuntimeError("secret")


@tenant.get("/crash")
def tenant_crash(tenant: str) -> str:
    raise RuntimeError("secret")
