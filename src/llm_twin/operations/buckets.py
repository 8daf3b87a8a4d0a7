"""`python -m llm_twin.operations.buckets NAME…`: make the buckets that are not there yet."""

from __future__ import annotations

import sys
import time

from llm_twin.errors import ServiceError, TwinError
from llm_twin.operations.objects import connect_objects

WAIT_SECONDS = 240.0


def make_buckets(names: list[str], wait_seconds: float = WAIT_SECONDS) -> list[str]:
    """Make each bucket of `names` that does not exist; returns the new ones.

    Waits up to `wait_seconds` for a storage that is still starting; then raises ServiceError.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    client, made = connect_objects(), []
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            present = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
            for name in names:
                if name not in present:
                    client.create_bucket(Bucket=name)
                    made.append(name)
                    present.add(name)
            return made
        except (BotoCoreError, ClientError) as error:
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"object storage: {error}", "look at AWS_ENDPOINT_URL and the keys in twin-object-storage"
                ) from error
            time.sleep(2)


if __name__ == "__main__":
    try:
        print("made:", ", ".join(make_buckets(sys.argv[1:])) or "nothing, all are there")
    except TwinError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
