"""Uploads, to a fake of the hub on this machine: the client is huggingface_hub itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from cyclip_pl.models.export import hub
from tests.helpers.upload_hub import UploadHub, upload_hub


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[UploadHub]:
    with upload_hub() as server:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "README.md").write_text("---\nlicense: mit\n---\n\n# a model\n")
    (folder / "open_clip_model.safetensors").write_bytes(bytes(range(256)) * 9)
    return folder


def test_all_files_in_one_commit(server: UploadHub, folder: Path) -> None:
    api = hub.connect("org/model")
    url = hub.push(api, folder, "org/model", private=True)
    assert url == f"{server.url}/org/model"
    assert server.created == [{"name": "model", "organization": "org", "private": True}]
    assert server.files["README.md"] == (folder / "README.md").read_bytes()
    weights = (folder / "open_clip_model.safetensors").read_bytes()
    digest = hashlib.sha256(weights).hexdigest()
    assert server.large == {digest: weights}
    assert server.pointers == {"open_clip_model.safetensors": digest}
    assert set(server.validated) == {"---\nlicense: mit\n---\n\n# a model\n"}
    assert server.tokens == {"Bearer hf_secret"}
    hub.push(api, folder, "org/model", private=True)  # it exists now


def test_a_public_repository_is_not_taken_for_a_private_one(
    server: UploadHub, folder: Path
) -> None:
    api = hub.connect("org/model")
    hub.push(api, folder, "org/model", private=False)
    server.files.clear()
    with pytest.raises(ValueError, match="private=true, but the repository exists and is public"):
        hub.push(api, folder, "org/model", private=True)
    assert not server.files


def test_what_the_hub_refuses(server: UploadHub, folder: Path) -> None:
    server.refuses = True
    said = r"^push=org/model: the upload failed: .*403.*; \S+model is whole$"
    with pytest.raises(ValueError, match=said):
        hub.push(hub.connect("org/model"), folder, "org/model", private=False)


def test_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(ValueError, match=r"^push=org/model: needs a token of Hugging Face; run"):
        hub.connect("org/model")


@pytest.mark.parametrize("name", ["model", "a/b/c", "org/", "org/mo del", "org/model.git", "/x"])
def test_names(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with pytest.raises(ValueError, match=rf"^push={name}: must be ORG/NAME"):
        hub.connect(name)
