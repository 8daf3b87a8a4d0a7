"""`python -m llm_twin.operations.generate_secrets FILE`: the Secrets that a development cluster needs, made on it.

FILE is the contract (manifests/config/secret-keys.yaml): names, keys, and how each value is made. A Secret that exists
is left as it is: passwords that databases already hold must not change under them. Not for production: there, External
Secrets or a person makes them.
"""

from __future__ import annotations

import re
import secrets
import string
import sys
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from llm_twin.errors import InputError, ServiceError, TwinError

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_PLACEHOLDER = re.compile(r"\$\{(random:(\d+)|[\w.-]+)\}")
_LETTERS = string.ascii_letters + string.digits


class SecretContract(BaseModel):
    """One Secret: its keys with the template of each value."""

    model_config = ConfigDict(extra="forbid")

    annotations: dict[str, str] = {}
    keys: dict[str, str]


def read_contract(text: str) -> dict[str, SecretContract]:
    """Secrets by name. Raises InputError."""
    try:
        return TypeAdapter(dict[str, SecretContract]).validate_python(yaml.safe_load(text))
    except (yaml.YAMLError, ValidationError) as error:
        raise InputError(f"the secrets' contract: {' '.join(str(error).split())[:300]}", "mend the file") from error


def render_values(contract: SecretContract) -> dict[str, str]:
    """A value for each key: `${random:N}` is N letters and digits, `${key}` another key's value.

    Raises InputError for a key that refers to itself or to none.
    """
    values: dict[str, str] = {}

    def resolve(key: str, waiting: tuple[str, ...]) -> str:
        if key in waiting or key not in contract.keys:
            raise InputError(
                f"${{{key}}} in {' → '.join(waiting)} cannot be resolved", "name another key, without a ring"
            )
        if key not in values:
            values[key] = _PLACEHOLDER.sub(
                lambda found: _random(int(found[2])) if found[2] else resolve(found[1], (*waiting, key)),
                contract.keys[key],
            )
        return values[key]

    for key in contract.keys:
        resolve(key, ())
    return values


def _random(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def make_secrets(contract: dict[str, SecretContract], api: Any, namespace: str) -> list[str]:
    """Create each Secret that `namespace` lacks, through a kubernetes CoreV1Api; returns the new ones' names."""
    from kubernetes.client import V1ObjectMeta, V1Secret
    from kubernetes.client.exceptions import ApiException

    made = []
    for name, secret in contract.items():
        body = V1Secret(
            metadata=V1ObjectMeta(
                name=name,
                annotations=secret.annotations,
                labels={"app.kubernetes.io/part-of": "llm-twin", "llm-twin/made-by": "generate-secrets"},
            ),
            string_data=render_values(secret),
        )
        try:
            api.create_namespaced_secret(namespace, body)
            made.append(name)
        except ApiException as error:
            if error.status != 409:  # 409: it exists, and stays as it is
                raise ServiceError(
                    f"cannot make the Secret {name}: {error.status} {error.reason}", "look at the Role generate-secrets"
                ) from error
    return made


def main(arguments: list[str]) -> None:
    """Read the contract, make what is missing."""
    from kubernetes import client, config

    try:
        contract = read_contract(Path(arguments[0]).read_text(encoding="utf-8"))
        config.load_incluster_config()
        made = make_secrets(contract, client.CoreV1Api(), NAMESPACE_FILE.read_text(encoding="utf-8").strip())
        print("made:", ", ".join(made) or "nothing, all are there")
    except (config.ConfigException, OSError) as error:
        print(f"error: {error} → run it in a pod with a service account's token", file=sys.stderr)
        sys.exit(2)
    except TwinError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main(sys.argv[1:])
