"""Upload an exported folder to Hugging Face."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cyclip_pl.files import reason


def connect(repository: str) -> Any:
    """A client for `push`, before anything slow begins.

    Raises:
        ValueError: `repository` is not ORG/NAME, or this machine has no token.
    """
    import huggingface_hub
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repository)
        owner, _, name = repository.partition("/")
        if not (owner and name):
            raise ValueError("it has no owner")
    except ValueError as error:
        raise ValueError(f"push={repository}: must be ORG/NAME ({reason(error)})") from error
    if huggingface_hub.get_token() is None:
        raise ValueError(
            f"push={repository}: needs a token of Hugging Face; run `hf auth login`, or set"
            " HF_TOKEN"
        )
    return huggingface_hub.HfApi()


def push(api: Any, folder: Path, repository: str, private: bool) -> str:
    """Create the repository unless it exists, and upload all files in one commit; returns its URL.

    Raises:
        ValueError: The hub cannot be reached, or refuses, or the repository exists and is public
            although `private` is true; the folder stays.
    """
    try:
        url = api.create_repo(repository, private=private, exist_ok=True)
        if private and not api.model_info(repository).private:
            raise ValueError("private=true, but the repository exists and is public")
        api.upload_folder(
            repo_id=repository, folder_path=folder, commit_message="Upload by cyclip-export"
        )
    except Exception as error:  # the client and its transport raise many types
        raise ValueError(
            f"push={repository}: the upload failed: {reason(error)}; {folder} is whole"
        ) from error
    return str(url)
