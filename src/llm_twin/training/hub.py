"""An optional push of a registered model to the model hub."""

from __future__ import annotations

from llm_twin.errors import InputError, StoreError
from llm_twin.training.registry import find_model, split_reference


def push_to_hub(tracking_uri: str, reference: str, repository: str, token: str | None) -> str:
    """Upload a registered version's export to a private hub repository; returns its address. Raises StoreError."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    found = find_model(tracking_uri, *split_reference(reference))
    if "/" not in repository:
        raise InputError(f"{repository!r} is no hub repository", "give --to OWNER/NAME")
    if not found.uri.startswith("file://"):
        raise InputError(f"{found.uri} is not on this machine", "fetch the export first, or push from where it lies")
    api = HfApi(token=token)
    try:
        api.create_repo(repository, private=True, exist_ok=True)
        api.upload_folder(
            repo_id=repository, folder_path=found.uri.removeprefix("file://"), ignore_patterns=["training.json"]
        )
    except (HfHubHTTPError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise StoreError(f"the hub did not take {repository}: {reason}", "check the network and HF_TOKEN") from error
    return f"{api.endpoint}/{repository}"
