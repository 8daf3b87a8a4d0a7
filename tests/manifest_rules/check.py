"""One build against everything."""

from __future__ import annotations

from typing import Any

from tests.manifest_rules.cluster import Cluster, where
from tests.manifest_rules.rules_cluster import check_cluster
from tests.manifest_rules.rules_links import check_links
from tests.manifest_rules.rules_pods import check_pods
from tests.manifest_rules.schemas import Schemas


def check(things: list[dict[str, Any]], schemas: Schemas) -> list[str]:
    """What is wrong with the objects of one build, schemas first: rules assume the shape that schemas hold."""
    broken = [f"{where(thing)}: {problem}" for thing in things for problem in schemas.check(thing)]
    if broken:
        return broken
    cluster = Cluster(things)
    return [*check_pods(cluster), *check_links(cluster), *check_cluster(cluster, schemas)]
