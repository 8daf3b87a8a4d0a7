"""The OpenAPI description of the whole server: our routes, and those of KServe's that are left to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic.json_schema import models_json_schema

from llm_twin.serving.front import Route

TAKEN_OVER = re.compile(r":predict$|/infer$|^/$")


def describe(routes: Sequence[Route], inner: dict[str, Any]) -> dict[str, Any]:
    """An OpenAPI 3.1 document; `inner` is that of KServe's application."""
    bodies = [route.request for route in routes if route.request is not None]
    _, defined = models_json_schema(
        [(body, "validation") for body in dict.fromkeys(bodies)], ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, Any] = {path: item for path, item in inner.get("paths", {}).items() if not TAKEN_OVER.search(path)}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    schemas = {**inner.get("components", {}).get("schemas", {}), **defined.get("$defs", {})}
    return {
        "openapi": "3.1.0",
        "info": {"title": "LLM Twin", "version": "1", "description": "Language models of authors, with sources."},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": f"{route.method.lower()}_{re.sub(r'[^a-z0-9]+', '_', route.path.lower()).strip('_')}",
        "tags": [route.protocol],
        "responses": {
            "200": {"description": "As asked for"},
            "4XX": {"description": "What is wrong with the request, naming the field"},
            "503": {"description": "Not ready or too busy; Retry-After says when to try again"},
        },
    }
    names = re.findall(r"{(\w+)}", route.path)
    if names:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    if route.request is not None:
        schema = {"$ref": f"#/components/schemas/{route.request.__name__}"}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if route.scope:
        operation["security"] = [{"key": []}, {}]
    return operation
