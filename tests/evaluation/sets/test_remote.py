"""Sets behind URLs: a local server stands for the network."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants

from cyclip_pl import http_file
from cyclip_pl.evaluation.sets.classification import ClassificationSet
from cyclip_pl.evaluation.sets.interface import NoSplit
from cyclip_pl.evaluation.sets.library import open_captioned
from cyclip_pl.evaluation.sets.remote import is_remote, local_copy, name_of
from tests.helpers.evaluation_sets import caption_set, coded_set
from tests.helpers.http_server import Hub, Server, hub, serving

LABELS = [2, 0, 1, 2, 0]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(http_file, "RETRY_AFTER", ())
    coded_set(tmp_path / "served/wds_digits", LABELS, ["zero", "one", "two"], shards=3)
    with serving(tmp_path / "served") as served:
        yield served


def assert_same(folder: Path, other: Path) -> None:
    one, two = ClassificationSet(folder), ClassificationSet(other)
    assert one.classnames == two.classnames and one.templates == two.templates
    assert one.label_N.tolist() == two.label_N.tolist()
    for n in range(len(two)):
        assert one.image(n).tobytes() == two.image(n).tobytes()


def test_what_is_remote() -> None:
    for spec in ("https://h/wds_x", "file:/data/wds_x", "hf://d/x", "/d/wds_x/test/{0..3}.tar"):
        assert is_remote(spec)
    for spec in ("cifar10", "data/wds_x", "/data/wds_x/", "C:\\wds_x"):
        assert not is_remote(spec)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("https://h/a/wds_x", "wds_x"),
        ("https://h/a/wds_x/", "wds_x"),
        ("https://h/wds_x/test/{0..3}.tar", "wds_x"),
        ("https://huggingface.co/datasets/clip-benchmark/wds_x", "wds_x"),
        ("https://huggingface.co/datasets/clip-benchmark/wds_x/tree/main", "wds_x"),
    ],
)
def test_the_name_of_a_remote_set(spec, name) -> None:
    assert name_of(spec) == name


def test_a_base_is_fetched_once(server, tmp_path) -> None:
    url = f"{server.url}/wds_digits"
    folder = local_copy(url, "test", tmp_path / "cache")
    assert folder.parent == tmp_path / "cache" and folder.name.startswith("wds_digits-")
    assert_same(folder, server.folder / "wds_digits")
    assert sorted(server.asked) == sorted(
        f"/wds_digits/{name}"
        for name in (
            "classnames.txt",
            "zeroshot_classification_templates.txt",
            "dataset_type.txt",  # these two are not there, and need not be
            "hierarchy.json",
            "test/nshards.txt",
            *(f"test/{n}.tar" for n in range(3)),
        )
    )
    server.asked.clear()
    assert local_copy(url + "/", "test", tmp_path / "cache", download=False) == folder
    assert server.asked == []
    assert not [path for path in folder.rglob("*") if "partial" in path.name]


def test_a_split_that_is_not_there(server, tmp_path) -> None:
    url = f"{server.url}/wds_digits"
    for download in (True, False):
        local_copy(url, "test", tmp_path)
        with pytest.raises(
            NoSplit, match="wds_digits has no split 'val'$" if download else "is false$"
        ):
            local_copy(url, "val", tmp_path, download)


def test_captions_need_no_class_names_and_a_hierarchy_comes_along(server, tmp_path) -> None:
    caption_set(server.folder / "wds_captions", [["a dog", "a pet"], ["a cat"]])
    dataset = open_captioned(f"{server.url}/wds_captions", downloads=tmp_path)
    assert (dataset.name, dataset.captions) == ("wds_captions", [["a dog", "a pet"], ["a cat"]])
    (server.folder / "wds_digits/hierarchy.json").write_text("{}")
    folder = local_copy(f"{server.url}/wds_digits", "test", tmp_path)
    assert ClassificationSet(folder).hierarchy == folder / "hierarchy.json"


def test_a_list_of_shards(server, tmp_path) -> None:
    spec = f"{server.url}/wds_digits/test/{{0..2}}.tar"
    assert_same(local_copy(spec, "test", tmp_path), server.folder / "wds_digits")
    few = ClassificationSet(local_copy(spec.replace("0..2", "0..1"), "test", tmp_path))
    assert few.label_N.tolist() == LABELS[: len(few)] and 0 < len(few) < len(LABELS)
    with pytest.raises(ValueError, match="has no split 'train': it lists shards of 'test'$"):
        local_copy(spec, "train", tmp_path)


def test_local_urls_and_lists_are_not_copied(server, tmp_path) -> None:
    source = server.folder / "wds_digits"
    assert local_copy(source.as_uri(), "test", tmp_path / "cache") == source
    assert not (tmp_path / "cache").exists()
    for spec in (f"{source}/test/{{0..2}}.tar", f"{source.as_uri()}/test/{{0..2}}.tar"):
        folder = local_copy(spec, "test", tmp_path / "cache")
        assert_same(folder, source)
        assert all(shard.is_symlink() for shard in folder.glob("test/*.tar"))


def test_wildcards_in_a_list_of_shards(server, tmp_path, monkeypatch) -> None:
    source = server.folder / "wds_digits"
    monkeypatch.setenv("HOME", str(server.folder))
    for spec in (f"{source}/test/*.tar", "~/wds_digits/test/?.tar", "~/wds_digits/test/{0..2}.tar"):
        assert name_of(spec) == "wds_digits"
        assert_same(local_copy(spec, "test", tmp_path / "cache"), source)
    with pytest.raises(ValueError, match=r"^no file matches '.*/9\*\.tar'$"):
        local_copy(f"{source}/test/9*.tar", "test", tmp_path)


def test_no_set_runs_a_command(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("WDS_X", f"pipe:touch {tmp_path}/ran;")
    monkeypatch.setenv("GOPEN_REWRITE", f"https://h/=pipe:touch {tmp_path}/ran #")
    for spec in ("${X}/wds_x/test/0.tar", "{pipe:a,pipe:a}/x/test/0.tar", "https://h/wds_x",
                 "https://h/wds_x/test/{0..1}.tar"):  # fmt: skip
        with pytest.raises(ValueError, match=r"evaluation sets run no commands"):
            local_copy(spec, "test", tmp_path / "cache")
    assert not (tmp_path / "ran").exists()


def test_an_interrupted_download_goes_on(server, tmp_path) -> None:
    shard = server.folder / "wds_digits/test/2.tar"
    whole = shard.read_bytes()
    shard.unlink()
    url = f"{server.url}/wds_digits"
    with pytest.raises(ValueError, match=r"test/2\.tar cannot be downloaded: not found$"):
        local_copy(url, "test", tmp_path)
    (folder,) = (path for path in tmp_path.iterdir() if path.name.startswith("wds_digits-"))
    assert not (folder / "test/nshards.txt").exists()
    shard.write_bytes(whole)
    server.asked.clear()
    assert_same(local_copy(url, "test", tmp_path), server.folder / "wds_digits")
    assert "/wds_digits/test/0.tar" not in server.asked
    assert "/wds_digits/test/2.tar" in server.asked


def test_what_breaks_off_leaves_no_file(server, tmp_path) -> None:
    server.cut.append("/wds_digits/test/1.tar")
    server.ranges = False
    with pytest.raises(ValueError, match=r"test/1\.tar cannot be downloaded: it broke off at byte"):
        local_copy(f"{server.url}/wds_digits", "test", tmp_path / "cache")
    files = {path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    assert "0.tar" in files and "nshards.txt" not in files
    assert not [name for name in files if "1.tar" in name]
    server.cut.clear()
    folder = local_copy(f"{server.url}/wds_digits", "test", tmp_path / "cache")
    assert_same(folder, server.folder / "wds_digits")


def test_a_stalled_server_is_one_line(server, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(http_file, "TIMEOUT", 0.2)
    server.stalled.append("/wds_digits/test/1.tar")
    with pytest.raises(ValueError, match=r"test/1\.tar cannot be downloaded: timed out: no data"):
        local_copy(f"{server.url}/wds_digits", "test", tmp_path)


def test_a_full_disk_is_one_line_and_ends_the_command(server, tmp_path, monkeypatch) -> None:
    def full(source, target, length=0):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(
        ValueError,
        match=r"classnames\.txt cannot be downloaded to .*/classnames\.txt: .*No space left",
    ):
        local_copy(f"{server.url}/wds_digits", "test", tmp_path / "cache")


def test_a_set_without_templates(server, tmp_path) -> None:
    (server.folder / "wds_digits/zeroshot_classification_templates.txt").unlink()
    folder = local_copy(f"{server.url}/wds_digits", "test", tmp_path)
    assert ClassificationSet(folder).templates is None


@pytest.mark.parametrize("text", [b"many", b"-1", b"9" * 5000, b"1.0", b""])
def test_a_wrong_number_of_shards(server, tmp_path, text) -> None:
    (server.folder / "wds_digits/test/nshards.txt").write_bytes(text)
    with pytest.raises(ValueError, match=r"nshards\.txt must hold the number of shards"):
        local_copy(f"{server.url}/wds_digits", "test", tmp_path)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "{url}/nothing",
            r"/nothing is not a set: it has neither classnames\.txt nor test/nshards",
        ),
        ("http://127.0.0.1:9/wds_x", r"classnames\.txt cannot be downloaded: Connect call failed"),
        ("http://no-such-host.invalid/wds_x", r"cannot be downloaded: .*"),
        (
            "file:///nowhere/wds_x/test/{{0..1}}.tar",
            r"test/0\.tar cannot be downloaded: not found$",
        ),
        ("nobody://h/wds_x", r"cannot be downloaded: Protocol not known: nobody$"),
        ("pipe:cat 0.tar", r"evaluation sets run no commands"),
        ("https://h/a/test/0.tar::https://h/b/test/0.tar", r"must lie in one folder"),
        ("0.tar", r"must lie in one folder"),
    ],
)
def test_what_cannot_be_fetched_is_one_line(server, tmp_path, spec, message) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        local_copy(spec.format(url=server.url), "test", tmp_path)
    assert "\n" not in str(caught.value)


def test_downloads_can_be_switched_off(server, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"is not in .*, and evaluation.library.download is false"):
        local_copy(f"{server.url}/wds_digits", "test", tmp_path, download=False)
    assert server.asked == []


@pytest.fixture
def digits_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    if huggingface_hub.__version__.startswith("0."):
        pytest.skip("the hub of this test answers huggingface_hub 2, and not the old versions")
    folder = coded_set(tmp_path / "repo", LABELS, ["zero", "one", "two"], shards=3)
    (folder / "train").mkdir()
    (folder / "train/0.tar").write_bytes(b"large, and not asked for")
    with hub("somebody/wds_digits", folder) as server:
        files = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
        yield server


@pytest.mark.parametrize(
    "spec",
    [
        "https://huggingface.co/datasets/somebody/wds_digits",
        "https://huggingface.co/datasets/somebody/wds_digits/tree/main/",
        "hf://datasets/somebody/wds_digits",
        "hf://datasets/somebody/wds_digits@main",
    ],
)
def test_sets_on_hugging_face(digits_hub: Hub, tmp_path: Path, spec: str) -> None:
    assert name_of(spec) == "wds_digits"
    folder = local_copy(spec, "test", tmp_path / "cache")
    assert_same(folder, tmp_path / "repo")
    assert folder.is_relative_to(tmp_path / "cache")
    assert not [path for path, _ in digits_hub.asked if path.endswith("train/0.tar")]
    digits_hub.asked.clear()
    assert local_copy(spec, "test", tmp_path / "cache", download=False) == folder
    assert digits_hub.asked == []
    with pytest.raises(NoSplit, match="wds_digits.* has no split 'val'$"):
        local_copy(spec, "val", tmp_path / "cache")


def test_a_private_set_needs_the_users_token(
    digits_hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digits_hub.token = "secret"
    with pytest.raises(ValueError, match="wds_digits cannot be downloaded to .*: .*401") as caught:
        local_copy("hf://datasets/somebody/wds_digits", "test", tmp_path / "cache")
    assert "\n" not in str(caught.value)
    monkeypatch.setenv("HF_TOKEN", "secret")
    folder = local_copy("hf://datasets/somebody/wds_digits", "test", tmp_path / "cache")
    assert_same(folder, tmp_path / "repo")


def test_a_set_that_hugging_face_does_not_have(digits_hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="wds_other cannot be downloaded to ") as caught:
        local_copy("hf://datasets/somebody/wds_other", "test", tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"is not in .*, and evaluation\.library\.download is"):
        local_copy("hf://datasets/somebody/wds_other", "test", tmp_path, download=False)


def test_a_silent_hub_is_not_waited_for(digits_hub: Hub, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(http_file, "TIMEOUT", 0.3)
    spec = "hf://datasets/somebody/wds_digits"
    digits_hub.answers = False
    with pytest.raises(ValueError, match=r"cannot be downloaded to .*: Hugging Face does not answ"):
        local_copy(spec, "test", tmp_path)
    digits_hub.answers = True
    folder = local_copy(spec, "test", tmp_path)
    digits_hub.answers = False
    assert local_copy(spec, "test", tmp_path) == folder  # what is there already is used
