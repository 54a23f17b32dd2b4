"""The description of the query API says what there is."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.routing import Route

from collector.query.openapi import describe_api
from collector.query.search import OPTIONS
from tests.collector.query.test_api import _app, _call


def test_every_path_is_described() -> None:
    """With its method, and no other; Jaeger's API is Jaeger's to describe."""
    app: Any = _app(lambda *_: None)
    own = [route for route in app.routes if isinstance(route, Route)]
    served = {(route.path, method.lower()) for route in own for method in (route.methods or set()) - {"HEAD"}}
    assert {(path, method) for path, item in describe_api()["paths"].items() for method in item} == served


def test_every_option_of_a_search_is_described() -> None:
    """By its name."""
    parameters = describe_api()["paths"]["/v1/traces"]["get"]["parameters"]
    assert [parameter["name"] for parameter in parameters] == list(OPTIONS)


def test_only_health_needs_no_key() -> None:
    """As the gate has it."""
    paths = describe_api()["paths"]
    asked = {path: operation.get("security") for path, item in paths.items() for operation in item.values()}
    assert {path for path, security in asked.items() if security == []} == {"/healthz", "/readyz"}


def test_it_is_served() -> None:
    """At the place where tools look for it."""
    status, content = asyncio.run(_call(_app(lambda *_: None), "/openapi.json"))
    assert (status, content[:20]) == (200, b'{"openapi":"3.1.0","')
