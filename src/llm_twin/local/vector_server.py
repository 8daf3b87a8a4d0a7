"""A loopback owner of qdrant-edge shards that speaks the part of Qdrant's REST interface that qdrant-client needs.

`python -m llm_twin.local.vector_server --path DIR --port N`. qdrant-edge allows one process per shard; this is that
process, so any number of others reach the same vectors through qdrant-client, as they would a Qdrant server.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import qdrant_edge as edge
from aiohttp import web

from llm_twin.errors import StoreError
from llm_twin.local import vector_wire as wire
from llm_twin.local.vector_shards import Collection, ConflictError, MissingError, Shards

VERSION = "1.17.0"  # of the interface spoken, which qdrant-client compares with its own
MAX_BODY_BYTES = 256 * 1024 * 1024
PR_SET_PDEATHSIG = 1

Handler = Callable[[Shards, dict[str, str], dict[str, Any]], Any]


def list_collections(shards: Shards, names: dict[str, str], body: dict[str, Any]) -> Any:
    """Names of all collections."""
    return {"collections": [{"name": name} for name in sorted(shards.collections)]}


def collection_exists(shards: Shards, names: dict[str, str], body: dict[str, Any]) -> Any:
    """Whether a collection or alias of that name is there."""
    return {"exists": shards.aliases.get(names["name"], names["name"]) in shards.collections}


def describe_collection(shards: Shards, names: dict[str, str], body: dict[str, Any]) -> Any:
    """Configuration, counts and payload indexes of one collection."""
    collection = shards.get(names["name"])
    info = collection.shard.info()
    config = collection.config
    return {
        "status": "green",
        "optimizer_status": "ok",
        "points_count": info.points_count,
        "indexed_vectors_count": info.indexed_vectors_count,
        "segments_count": info.segments_count,
        "config": {
            "params": {
                "vectors": config.get("vectors") or {},
                "sparse_vectors": config.get("sparse_vectors") or {},
            },
            "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
            "optimizer_config": {
                "deleted_threshold": 0.2,
                "vacuum_min_vector_number": 1000,
                "default_segment_number": 0,
                "flush_interval_sec": 5,
            },
            "metadata": config.get("metadata"),
        },
        "payload_schema": {
            field: {"data_type": kind, "points": info.points_count}
            for field, kind in (config.get("payload_indexes") or {}).items()
        },
    }


def create_collection(shards: Shards, names: dict[str, str], body: dict[str, Any]) -> Any:
    """Make a collection."""
    shards.create(
        names["name"],
        {
            "vectors": body.get("vectors") or {},
            "sparse_vectors": body.get("sparse_vectors") or {},
            "metadata": body.get("metadata") or {},
            "payload_indexes": {},
        },
    )
    return True


def update_collection(shards: Shards, names: dict[str, str], body: dict[str, Any]) -> Any:
    """Change a collection's metadata; its optimizer settings are this server's own."""
    shards.update_metadata(names["name"], body.get("metadata") or {})
    return True


def delete_collection(shards: Shards, names: dict[str, str], body: dict[str, Any]) -> Any:
    """Remove a collection and its files."""
    return shards.delete(names["name"])


def list_aliases(shards: Shards, names: dict[str, str], body: dict[str, Any]) -> Any:
    """All aliases, or those of one collection."""
    pairs = sorted(shards.aliases.items())
    return {
        "aliases": [
            {"alias_name": alias, "collection_name": target}
            for alias, target in pairs
            if names.get("name") in (None, target)
        ]
    }


def change_aliases(shards: Shards, names: dict[str, str], body: dict[str, Any]) -> Any:
    """Create, delete, rename aliases at once."""
    shards.change_aliases(wire.require(body, "actions"))
    return True


def create_field_index(shards: Shards, names: dict[str, str], body: dict[str, Any]) -> Any:
    """Index a payload field."""
    collection, field = shards.get(names["name"]), wire.require(body, "field_name")
    schema = body.get("field_schema") or "keyword"
    kind = schema["type"] if isinstance(schema, dict) else schema
    if kind not in wire.SCHEMAS:
        raise wire.WireError(f"unknown payload index type {kind!r}")
    collection.write([edge.UpdateOperation.create_field_index(field, wire.SCHEMAS[kind])])
    shards.note_index(collection, field, kind)
    return {"operation_id": 0, "status": "completed"}


def delete_field_index(shards: Shards, names: dict[str, str], body: dict[str, Any]) -> Any:
    """Remove a payload index."""
    collection = shards.get(names["name"])
    collection.write([edge.UpdateOperation.delete_field_index(names["field"])])
    shards.note_index(collection, names["field"], None)
    return {"operation_id": 0, "status": "completed"}


def upsert_points(shards: Shards, names: dict[str, str], body: dict[str, Any]) -> Any:
    """Write points, given one by one or by columns."""
    collection = shards.get(names["name"])
    points = _points(collection, body)
    return _write(collection, [edge.UpdateOperation.upsert_points(points)], len(points))


def delete_points(shards: Shards, names: dict[str, str], body: dict[str, Any]) -> Any:
    """Delete points by ids or by filter."""
    return _write(shards.get(names["name"]), [_delete(body)])


def set_payload(shards: Shards, names: dict[str, str], body: dict[str, Any]) -> Any:
    """Set payload fields of points by ids or filter."""
    return _write(shards.get(names["name"]), [_set_payload(body)])


def update_batch(shards: Shards, names: dict[str, str], body: dict[str, Any]) -> Any:
    """Several updates that readers see together."""
    collection = shards.get(names["name"])
    operations, written = [], 0
    for one in wire.require(body, "operations"):
        if "upsert" in one:
            points = _points(collection, one["upsert"])
            operations.append(edge.UpdateOperation.upsert_points(points))
            written += len(points)
        elif "delete" in one:
            operations.append(_delete(one["delete"]))
        elif "set_payload" in one:
            operations.append(_set_payload(one["set_payload"]))
        else:
            raise wire.WireError(f"unsupported operation {', '.join(one)}")
    result = _write(collection, operations, written)
    return [result] * len(operations)


def _write(collection: Collection, operations: list[edge.UpdateOperation], points: int = 0) -> dict[str, Any]:
    collection.write(operations, points)
    return {"operation_id": collection.changes, "status": "completed"}


def _points(collection: Collection, body: dict[str, Any]) -> list[edge.Point]:
    if "batch" in body:
        return wire.parse_batch(body["batch"], collection.vector_names)
    return [wire.parse_point(point, collection.vector_names) for point in wire.require(body, "points")]


def _delete(body: dict[str, Any]) -> edge.UpdateOperation:
    if "points" in body:
        return edge.UpdateOperation.delete_points(body["points"])
    chosen = wire.require_filter(wire.require(body, "filter"))
    return edge.UpdateOperation.delete_points_by_filter(chosen)


def _set_payload(body: dict[str, Any]) -> edge.UpdateOperation:
    if body.get("points"):
        return edge.UpdateOperation.set_payload(body["points"], wire.require(body, "payload"), body.get("key"))
    chosen = wire.require_filter(wire.require(body, "filter"))
    return edge.UpdateOperation.set_payload_by_filter(chosen, wire.require(body, "payload"), body.get("key"))


def retrieve_points(shards: Shards, names: dict[str, str], body: dict[str, Any]) -> Any:
    """Points by their ids."""
    found = shards.get(names["name"]).shard.retrieve(
        wire.require(body, "ids"),
        wire.parse_selector(body.get("with_payload", True)),
        body.get("with_vector", False),
    )
    return [wire.render_point(point) for point in found]


def scroll_points(shards: Shards, names: dict[str, str], body: dict[str, Any]) -> Any:
    """A page of points in the order of their ids, or of a field."""
    request = edge.ScrollRequest(
        offset=body.get("offset"),
        limit=body.get("limit") or 10,
        filter=wire.parse_filter(body.get("filter")),
        with_payload=wire.parse_selector(body.get("with_payload", True)),
        with_vector=body.get("with_vector", False),
        order_by=wire.parse_order(body.get("order_by")),
    )
    points, following = shards.get(names["name"]).shard.scroll(request)
    following = following if following is None or isinstance(following, int) else str(following)
    return {"points": [wire.render_point(point) for point in points], "next_page_offset": following}


def count_points(shards: Shards, names: dict[str, str], body: dict[str, Any]) -> Any:
    """How many points match a filter."""
    request = edge.CountRequest(exact=body.get("exact", True), filter=wire.parse_filter(body.get("filter")))
    return {"count": shards.get(names["name"]).shard.count(request)}


def count_values(shards: Shards, names: dict[str, str], body: dict[str, Any]) -> Any:
    """How many points have each value of an indexed field."""
    request = edge.FacetRequest(
        wire.require(body, "key"),
        limit=body.get("limit") or 10,
        exact=bool(body.get("exact")),
        filter=wire.parse_filter(body.get("filter")),
    )
    found = shards.get(names["name"]).shard.facet(request)
    return {"hits": [{"value": hit.value, "count": hit.count} for hit in found.hits]}


def query_points(shards: Shards, names: dict[str, str], body: dict[str, Any]) -> Any:
    """The points nearest to a query."""
    collection, request = shards.get(names["name"]), wire.parse_query(body)
    found = collection.shard.query(request)
    return {"points": [wire.render_point(point) for point in found]}


def query_batch(shards: Shards, names: dict[str, str], body: dict[str, Any]) -> Any:
    """Several queries against one state of the collection."""
    collection = shards.get(names["name"])
    request = edge.QueryBatchRequest([wire.parse_query(one) for one in wire.require(body, "searches")])
    found = collection.shard.query_batch(request)
    return [{"points": [wire.render_point(point) for point in points]} for points in found]


ROUTES: list[tuple[str, str, Handler]] = [
    ("GET", "/collections", list_collections),
    ("GET", "/collections/{name}/exists", collection_exists),
    ("GET", "/collections/{name}", describe_collection),
    ("PUT", "/collections/{name}", create_collection),
    ("PATCH", "/collections/{name}", update_collection),
    ("DELETE", "/collections/{name}", delete_collection),
    ("GET", "/aliases", list_aliases),
    ("GET", "/collections/{name}/aliases", list_aliases),
    ("POST", "/collections/aliases", change_aliases),
    ("PUT", "/collections/{name}/index", create_field_index),
    ("DELETE", "/collections/{name}/index/{field}", delete_field_index),
    ("PUT", "/collections/{name}/points", upsert_points),
    ("POST", "/collections/{name}/points", retrieve_points),
    ("POST", "/collections/{name}/points/delete", delete_points),
    ("POST", "/collections/{name}/points/payload", set_payload),
    ("POST", "/collections/{name}/points/batch", update_batch),
    ("POST", "/collections/{name}/points/scroll", scroll_points),
    ("POST", "/collections/{name}/points/count", count_points),
    ("POST", "/collections/{name}/points/query", query_points),
    ("POST", "/collections/{name}/points/query/batch", query_batch),
    ("POST", "/collections/{name}/facet", count_values),
]


def build_app(shards: Shards, api_key: str = "") -> web.Application:
    """The web application over `shards`; with `api_key`, requests must carry it in the `api-key` header.

    Requests run one after the other: qdrant-edge holds Python's lock while it works, so threads would gain nothing,
    and this way a batch of updates is seen whole or not at all.
    """
    app = web.Application(client_max_size=MAX_BODY_BYTES)

    def route(handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            if api_key and request.headers.get("api-key") != api_key:
                return _respond({"status": {"error": "Invalid API key"}}, 401)
            content = await request.read()
            return respond_to(handler, shards, dict(request.match_info), content)

        return answer

    async def greet(request: web.Request) -> web.Response:
        return _respond({"title": "llm-twin vector server", "version": VERSION}, 200)

    for method, path, handler in ROUTES:
        app.router.add_route(method, path, route(handler))
    for path in ("/", "/healthz", "/readyz", "/livez"):
        app.router.add_get(path, greet)
    return app


def respond_to(handler: Handler, shards: Shards, names: dict[str, str], content: bytes) -> web.Response:
    """Run one handler; its result or error in Qdrant's JSON form."""
    begun = time.perf_counter()
    try:
        body = orjson.loads(content) if content else {}
        if not isinstance(body, dict):
            raise wire.WireError("the body must be a JSON object")
        result = handler(shards, names, body)
    except MissingError as error:
        return _respond({"status": {"error": error.args[0]}}, 404)
    except ConflictError as error:
        return _respond({"status": {"error": str(error)}}, 409)
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # a body that has another shape
        return _respond({"status": {"error": f"Wrong input: {error}"}}, 400)
    except Exception as error:  # noqa: BLE001 - the edge: qdrant-edge raises plain Exception for wrong input
        status = 400 if type(error) is Exception else 500
        print(f"{status}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return _respond({"status": {"error": f"Wrong input: {error}" if status == 400 else str(error)}}, status)
    return _respond({"result": result, "status": "ok", "time": time.perf_counter() - begun}, 200)


def _respond(body: dict[str, Any], status: int) -> web.Response:
    content = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
    return web.Response(body=content, status=status, content_type="application/json")


def exit_with_parent() -> None:
    """Ask the kernel to send this process SIGTERM when its parent dies (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


async def maintain(shards: Shards, quiet_seconds: float = 1.0) -> None:
    """Flush and tidy each collection once it has been quiet for a while."""
    seen: dict[str, int] = {}
    while True:
        await asyncio.sleep(quiet_seconds)
        for name, collection in list(shards.collections.items()):
            if collection.changes and seen.get(name) == collection.changes:
                collection.tidy()
            seen[name] = collection.changes


async def serve(shards: Shards, port: int, api_key: str) -> None:
    """Serve until SIGTERM or SIGINT, then flush and close."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    runner = web.AppRunner(build_app(shards, api_key), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print(f"vector server on http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    keeper = asyncio.create_task(maintain(shards))
    await stopped.wait()
    keeper.cancel()
    await runner.cleanup()
    shards.close()


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and serve; 2 when the folder or the port is taken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", type=Path, required=True, help="the folder that holds the collections")
    parser.add_argument("--port", type=int, required=True, help="0 picks a free one")
    parser.add_argument("--exit-with-parent", action="store_true", help="stop when the starting process dies")
    options = parser.parse_args(arguments)
    if options.exit_with_parent:
        exit_with_parent()
    try:
        shards = Shards(options.path)
        asyncio.run(serve(shards, options.port, os.environ.get("LLM_TWIN_QDRANT_API_KEY", "")))
    except StoreError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error} → give another --path or --port", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
