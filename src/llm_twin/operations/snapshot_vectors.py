"""`python -m llm_twin.operations.snapshot_vectors FOLDER`: snapshots of all Qdrant collections into the backup bucket.

Qdrant makes a snapshot, we fetch it, put it into the bucket, and have Qdrant drop its copy.
"""

from __future__ import annotations

import sys
from pathlib import Path

from llm_twin.errors import ServiceError, TwinError
from llm_twin.operations.backups import upload
from llm_twin.settings import IndexSettings

TIMEOUT_SECONDS = 1800.0


def snapshot_vectors(folder: Path, url: str, api_key: str | None) -> list[str]:
    """Snapshot each collection at `url` into `folder`, upload it, return the keys. Raises ServiceError."""
    import httpx

    keys = []
    headers = {"api-key": api_key} if api_key else {}
    try:
        with httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_SECONDS) as client:
            collections = client.get("/collections").raise_for_status().json()["result"]["collections"]
            for name in sorted(entry["name"] for entry in collections):
                made = client.post(f"/collections/{name}/snapshots").raise_for_status().json()["result"]["name"]
                file = folder / f"{name}.snapshot"
                with client.stream("GET", f"/collections/{name}/snapshots/{made}") as response, file.open("wb") as out:
                    response.raise_for_status()
                    for piece in response.iter_bytes():
                        out.write(piece)
                keys.append(upload("qdrant", file))
                client.delete(f"/collections/{name}/snapshots/{made}").raise_for_status()
                file.unlink()
    except httpx.HTTPError as error:
        raise ServiceError(f"Qdrant at {url}: {error}", "is it up, and is LLM_TWIN_QDRANT_API_KEY its key?") from error
    return keys


if __name__ == "__main__":
    try:
        settings = IndexSettings()
        print("\n".join(snapshot_vectors(Path(sys.argv[1]), settings.url, settings.key)))
    except TwinError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
