"""The collections that the loopback vector server owns: one qdrant-edge shard each, with config and aliases on disk.

Every change of the folder is written beside and renamed, so a process killed at any point leaves collections whole;
what lies half made is removed at the next start.
"""

from __future__ import annotations

import fcntl
import json
import re
import shutil
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from llm_twin.errors import StoreError
from llm_twin.local.vector_wire import DISTANCES, WireError

MERGE_POINTS = 5_000
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")


class MissingError(KeyError):
    """No such collection; becomes HTTP 404."""


class ConflictError(ValueError):
    """Something of that name is there already; becomes HTTP 409."""


class Collection:
    """One shard with its declared configuration."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.shard = edge.EdgeShard.load(str(folder / "shard"))
        self.changes = 0  # updates since the last flush
        self.unmerged_points = 0  # written since the segments were last merged
        self.vector_names = set(self.config.get("vectors") or {}) | set(self.config.get("sparse_vectors") or {})

    def write(self, operations: list[edge.UpdateOperation], points: int = 0) -> None:
        """Apply operations, which write so many points, in order."""
        for operation in operations:
            self.shard.update(operation)
        self.changes += len(operations)
        self.unmerged_points += points

    def tidy(self) -> None:
        """Flush; and merge the segments (int8 copies of vectors) once much has been written since the last time.

        Nothing else is answered while segments merge, so it is done as the collection doubles, not at every pause.
        """
        self.changes = 0
        self.shard.flush()
        if self.unmerged_points >= max(MERGE_POINTS, self.shard.info().points_count // 2):
            self.shard.optimize()
            self.unmerged_points = 0

    def close(self) -> None:
        """Flush and release the shard."""
        self.shard.flush()
        self.shard.close()


class Shards:
    """All collections under one folder. Raises StoreError when another process owns the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock_file = (folder / "lock").open("a")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreError(f"{folder} is served by another process", "stop it, or use its port") from error
        for left in folder.glob(".*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        self.collections: dict[str, Collection] = {}
        for config in sorted((folder / "collections").glob("*/config.json")):
            self.collections[config.parent.name] = Collection(config.parent.name, config.parent)
        aliases = folder / "aliases.json"
        self.aliases: dict[str, str] = json.loads(aliases.read_text()) if aliases.is_file() else {}
        self.aliases = {alias: name for alias, name in self.aliases.items() if name in self.collections}

    def get(self, name: str) -> Collection:
        """The collection of that name or alias."""
        found = self.collections.get(self.aliases.get(name, name))
        if found is None:
            raise MissingError(f"Not found: Collection `{name}` doesn't exist!")
        return found

    def create(self, name: str, config: dict[str, Any]) -> None:
        """Make a collection; nothing of it is there until all of it is."""
        if not NAME.fullmatch(name):
            raise WireError(f"{name!r} is not a collection name")
        if name in self.collections or name in self.aliases:
            raise ConflictError(f"Wrong input: Collection `{name}` already exists!")
        beside = self.folder / f".creating-{name}"
        shutil.rmtree(beside, ignore_errors=True)
        (beside / "shard").mkdir(parents=True)
        edge.EdgeShard.create(str(beside / "shard"), _edge_config(config)).close()
        (beside / "config.json").write_text(json.dumps(config), encoding="utf-8")
        target = self.folder / "collections" / name
        target.parent.mkdir(exist_ok=True)
        beside.rename(target)
        self.collections[name] = Collection(name, target)

    def update_metadata(self, name: str, metadata: dict[str, Any]) -> None:
        """Merge `metadata` into the collection's own."""
        collection = self.get(name)
        collection.config["metadata"] = {**(collection.config.get("metadata") or {}), **metadata}
        _replace(collection.folder / "config.json", json.dumps(collection.config))

    def note_index(self, collection: Collection, field: str, kind: str | None) -> None:
        """Remember that a payload field is indexed as `kind`, or no longer (None)."""
        indexes = collection.config.setdefault("payload_indexes", {})
        if kind is None:
            indexes.pop(field, None)
        else:
            indexes[field] = kind
        _replace(collection.folder / "config.json", json.dumps(collection.config))

    def delete(self, name: str) -> bool:
        """Remove a collection and its files, and the aliases that point at it."""
        collection = self.collections.pop(name, None)
        if collection is None:
            return False
        self.aliases = {alias: target for alias, target in self.aliases.items() if target != name}
        self._write_aliases()
        collection.close()
        gone = self.folder / f".deleted-{name}"
        collection.folder.rename(gone)
        shutil.rmtree(gone)
        return True

    def change_aliases(self, actions: list[dict[str, Any]]) -> None:
        """Create, delete and rename aliases, all or none."""
        changed = dict(self.aliases)
        for action in actions:
            if create := action.get("create_alias"):
                target = changed.get(create["collection_name"], create["collection_name"])
                if target not in self.collections:
                    raise MissingError(f"Not found: Collection `{target}` doesn't exist!")
                if create["alias_name"] in self.collections:
                    raise ConflictError(f"Wrong input: {create['alias_name']} is a collection")
                changed[create["alias_name"]] = target
            elif delete := action.get("delete_alias"):
                changed.pop(delete["alias_name"], None)
            elif rename := action.get("rename_alias"):
                if rename["old_alias_name"] not in changed:
                    raise MissingError(f"Not found: Alias {rename['old_alias_name']} does not exists!")
                changed[rename["new_alias_name"]] = changed.pop(rename["old_alias_name"])
            else:
                raise WireError("an alias action is create_alias, delete_alias or rename_alias")
        self.aliases = changed
        self._write_aliases()

    def close(self) -> None:
        """Flush and close every shard."""
        for collection in self.collections.values():
            collection.close()
        self.collections.clear()
        self._lock_file.close()

    def _write_aliases(self) -> None:
        _replace(self.folder / "aliases.json", json.dumps(self.aliases))


def _replace(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def _edge_config(config: dict[str, Any]) -> edge.EdgeConfig:
    vectors = config.get("vectors") or {}
    if "size" in vectors:
        raise WireError("this server takes named vectors only")
    return edge.EdgeConfig(
        vectors={name: edge.EdgeVectorParams(one["size"], DISTANCES[one["distance"]]) for name, one in vectors.items()},
        sparse_vectors={
            name: edge.EdgeSparseVectorParams(
                modifier=edge.Modifier.Idf if (one or {}).get("modifier") == "idf" else None
            )
            for name, one in (config.get("sparse_vectors") or {}).items()
        },
        # No HNSW graph: building one takes a minute for 100,000 points, in which qdrant-edge holds Python's lock
        # and nothing is answered. A scan of int8 copies, rescored with the full vectors, takes 3 ms there.
        hnsw_config=edge.HnswIndexConfig(0, 100, 10_000),
        quantization_config=edge.ScalarQuantizationConfig(edge.ScalarType.Int8, always_ram=True),
    )
