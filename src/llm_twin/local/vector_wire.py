"""Between Qdrant's REST JSON and qdrant-edge's own classes: points, filters, queries and their results.

Covers the part of the interface that the project uses; anything else is refused by name, never ignored, because a
filter that is silently dropped returns what must not be returned.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import qdrant_edge as edge

DISTANCES = {
    "Cosine": edge.Distance.Cosine,
    "Dot": edge.Distance.Dot,
    "Euclid": edge.Distance.Euclid,
    "Manhattan": edge.Distance.Manhattan,
}
SCHEMAS = {
    "keyword": edge.PayloadSchemaType.Keyword,
    "integer": edge.PayloadSchemaType.Integer,
    "float": edge.PayloadSchemaType.Float,
    "bool": edge.PayloadSchemaType.Bool,
    "datetime": edge.PayloadSchemaType.Datetime,
    "uuid": edge.PayloadSchemaType.Uuid,
    "text": edge.PayloadSchemaType.Text,
}


RRF_K = 2  # Qdrant's default


class WireError(ValueError):
    """A request that does not fit; becomes HTTP 400 with this text."""


def require(body: dict[str, Any], key: str) -> Any:
    """The value at `key`. Raises WireError that names a missing key."""
    if not isinstance(body, dict) or key not in body:
        raise WireError(f"missing field `{key}`")
    return body[key]


def parse_point(body: dict[str, Any], names: set[str]) -> edge.Point:
    """One point with its vectors and payload; `names` are the vectors that the collection has."""
    return edge.Point(require(body, "id"), parse_vectors(require(body, "vector"), names), body.get("payload") or {})


def parse_batch(batch: dict[str, Any], names: set[str]) -> list[edge.Point]:
    """Points in the column form: ids, vectors by name, payloads."""
    ids, vectors = require(batch, "ids"), require(batch, "vectors")
    payloads = batch.get("payloads") or [None] * len(ids)
    if not isinstance(vectors, dict):
        raise WireError("vectors must be given by name")
    if len(payloads) != len(ids) or any(len(column) != len(ids) for column in vectors.values()):
        raise WireError("ids, vectors and payloads differ in length")
    return [
        edge.Point(
            point_id,
            parse_vectors({name: column[row] for name, column in vectors.items()}, names),
            payloads[row] or {},
        )
        for row, point_id in enumerate(ids)
    ]


def parse_vectors(body: Any, names: set[str]) -> dict[str, Any]:
    """Vectors by name; a sparse one is an object of indices and values."""
    if not isinstance(body, dict):
        raise WireError("vectors must be given by name")
    unknown = set(body) - names
    if unknown:
        raise WireError(f"Not existing vector name error: {', '.join(sorted(unknown))}")
    return {name: parse_vector(vector) for name, vector in body.items()}


def parse_vector(body: Any) -> Any:
    """A dense vector (list of numbers) or a sparse one."""
    if isinstance(body, dict):
        indices, values = require(body, "indices"), require(body, "values")
        if len(indices) != len(values) or len(set(indices)) != len(indices):
            raise WireError("a sparse vector needs as many values as indices, each index once")
        return edge.SparseVector(indices, values)
    if not isinstance(body, list):
        raise WireError("a vector is a list of numbers, or an object of indices and values")
    return body


def parse_filter(body: dict[str, Any] | None) -> edge.Filter | None:
    """A filter of must, should, must_not and min_should."""
    return None if body is None else require_filter(body)


def require_filter(body: dict[str, Any]) -> edge.Filter:
    """As parse_filter, for operations that must not go without one."""
    if not isinstance(body, dict):
        raise WireError("a filter is an object")
    unknown = set(body) - {"must", "should", "must_not", "min_should"}
    if unknown:
        raise WireError(f"unknown filter clause {', '.join(sorted(unknown))}")
    clauses: dict[str, Any] = {
        name: _conditions(body[name]) for name in ("must", "should", "must_not") if body.get(name)
    }
    if body.get("min_should"):
        minimum = body["min_should"]
        clauses["min_should"] = edge.MinShould(
            _conditions(require(minimum, "conditions")), require(minimum, "min_count")
        )
    return edge.Filter(**clauses)


def _conditions(body: Any) -> list[Any]:
    return [_condition(one) for one in (body if isinstance(body, list) else [body])]


def _condition(body: dict[str, Any]) -> Any:
    if "key" in body:
        return _field_condition(body)
    if "has_id" in body:
        return edge.HasIdCondition(set(body["has_id"]))
    if "is_empty" in body:
        return edge.IsEmptyCondition(body["is_empty"]["key"])
    if "is_null" in body:
        return edge.IsNullCondition(body["is_null"]["key"])
    if "has_vector" in body:
        return edge.HasVectorCondition(body["has_vector"])
    if set(body) & {"must", "should", "must_not", "min_should"}:
        return parse_filter(body)
    raise WireError(f"unsupported condition with fields {', '.join(sorted(body)) or 'none'}")


def _field_condition(body: dict[str, Any]) -> edge.FieldCondition:
    given = {name for name, value in body.items() if value is not None and name != "key"}
    unknown = given - {"match", "range", "is_empty", "is_null", "values_count"}
    if unknown or not given:
        raise WireError(f"unsupported condition on {body['key']!r}: {', '.join(sorted(unknown)) or 'empty'}")
    return edge.FieldCondition(
        body["key"],
        match=_match(body["match"]) if body.get("match") else None,
        range=_range(body["range"]) if body.get("range") else None,
        is_empty=body.get("is_empty"),
        is_null=body.get("is_null"),
        values_count=edge.ValuesCount(**body["values_count"]) if body.get("values_count") else None,
    )


def _match(body: dict[str, Any]) -> Any:
    kinds = {
        "value": edge.MatchValue,
        "any": edge.MatchAny,
        "except": edge.MatchExcept,
        "text": edge.MatchText,
        "text_any": edge.MatchTextAny,
        "phrase": edge.MatchPhrase,
        "prefix": edge.MatchPrefix,
    }
    for name, kind in kinds.items():
        if name in body:
            return kind(body[name])
    raise WireError(f"unsupported match {', '.join(sorted(body)) or 'without a value'}")


def _range(body: dict[str, Any]) -> Any:
    bounds = {name: value for name, value in body.items() if value is not None}
    if any(isinstance(value, str) for value in bounds.values()):
        parsed = {name: datetime.fromisoformat(value.replace("Z", "+00:00")) for name, value in bounds.items()}
        return edge.RangeDateTime(**{name: value.isoformat() for name, value in parsed.items()})
    return edge.RangeFloat(**bounds)


def parse_query(body: dict[str, Any], default_limit: int = 10) -> edge.QueryRequest:
    """A query: nearest to a dense or sparse vector, fusion of prefetches, or ordered by a field."""
    using = body.get("using") or ""
    return edge.QueryRequest(
        limit=body.get("limit") or default_limit,
        offset=body.get("offset"),
        query=_scoring(body.get("query"), using),
        prefetches=_prefetches(body.get("prefetch")),
        with_vector=body.get("with_vector", False),
        with_payload=parse_selector(body.get("with_payload", False)),
        filter=parse_filter(body.get("filter")),
        score_threshold=body.get("score_threshold"),
        params=_params(body.get("params")),
    )


def _prefetches(body: Any) -> list[edge.Prefetch] | None:
    if not body:
        return None
    return [
        edge.Prefetch(
            limit=one.get("limit") or 10,
            query=_scoring(one.get("query"), one.get("using") or ""),
            prefetches=_prefetches(one.get("prefetch")),
            params=_params(one.get("params")),
            filter=parse_filter(one.get("filter")),
            score_threshold=one.get("score_threshold"),
        )
        for one in (body if isinstance(body, list) else [body])
    ]


def _scoring(body: Any, using: str) -> Any:
    if body is None:
        return None
    if isinstance(body, list) or (isinstance(body, dict) and "indices" in body):
        return edge.Query.Nearest(parse_vector(body), using=using)
    if isinstance(body, dict):
        if "nearest" in body and not body.get("mmr") and isinstance(body["nearest"], list | dict):
            return edge.Query.Nearest(parse_vector(body["nearest"]), using=using)
        if body.get("fusion") == "rrf":
            return edge.Fusion.Rrf(RRF_K)
        if body.get("fusion") == "dbsf":
            return edge.Fusion.Dbsf()
        if "order_by" in body:
            return parse_order(body["order_by"])
    raise WireError("this server answers queries by vector, fusion (rrf, dbsf) and order_by")


def parse_order(body: Any) -> edge.OrderBy | None:
    """The field to order by, and which way."""
    if body is None:
        return None
    if isinstance(body, str):
        return edge.OrderBy(body)
    ways = {"asc": edge.Direction.Asc, "desc": edge.Direction.Desc}
    return edge.OrderBy(require(body, "key"), ways[body.get("direction") or "asc"], body.get("start_from"))


def _params(body: dict[str, Any] | None) -> edge.SearchParams | None:
    if not body:
        return None
    idf = body.get("idf")
    quantization = body.get("quantization")
    return edge.SearchParams(
        hnsw_ef=body.get("hnsw_ef"),
        exact=bool(body.get("exact")),
        indexed_only=bool(body.get("indexed_only")),
        quantization=edge.QuantizationSearchParams(
            ignore=bool(quantization.get("ignore")),
            rescore=quantization.get("rescore"),
            oversampling=quantization.get("oversampling"),
        )
        if quantization
        else None,
        idf=edge.IdfParams(parse_filter(idf.get("corpus"))) if idf else None,
    )


def parse_selector(body: Any) -> Any:
    """Which payload fields come back: all, none, a list, or include and exclude."""
    if isinstance(body, dict):
        if "include" in body:
            return edge.PayloadSelector.Include(body["include"])
        return edge.PayloadSelector.Exclude(require(body, "exclude"))
    return body


def render_vector(vector: Any) -> Any:
    """Vectors as JSON values: single precision, as Qdrant writes them, so with half of the digits of a Python float."""
    if isinstance(vector, dict):
        return {name: render_vector(one) for name, one in vector.items()}
    if isinstance(vector, edge.SparseVector):
        return {"indices": list(vector.indices), "values": np.asarray(vector.values, np.float32)}
    return np.asarray(vector, np.float32)


def render_point(point: Any) -> dict[str, Any]:
    """A record or scored point as JSON values."""
    body: dict[str, Any] = {"id": str(point.id) if not isinstance(point.id, int) else point.id}
    if hasattr(point, "score"):
        body |= {"version": getattr(point, "version", 0), "score": point.score}
    body["payload"] = point.payload
    if point.vector:
        body["vector"] = render_vector(point.vector)
    return body
