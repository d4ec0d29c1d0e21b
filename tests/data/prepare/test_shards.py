from __future__ import annotations

import json
import tarfile

import pytest

from cyclip_pl.data.prepare.shards import (
    order,
    write_classification_set,
    write_retrieval_set,
    write_tar,
    write_training_shards,
)
from tests.data.prepare.reading import lines, read_set, read_tars, tree

SAMPLES = {f"k{i}": {"png": bytes([i]), "txt": f"caption {i}".encode()} for i in range(11)}


def test_order_is_a_function_of_salt_and_key_alone() -> None:
    keys = [f"key{i}" for i in range(50)]
    shuffled = order(keys, "a")
    assert sorted(shuffled) == sorted(keys) and shuffled != keys
    assert order(reversed(keys), "a") == shuffled
    assert order(keys, "b") != shuffled
    without = [key for key in shuffled if key != "key7"]
    assert order([key for key in keys if key != "key7"], "a") == without


def test_a_tar_has_no_trace_of_when_and_who(tmp_path) -> None:
    assert write_tar(tmp_path / "0.tar", SAMPLES.items()) == 11
    with tarfile.open(tmp_path / "0.tar") as tar:
        for member in tar:
            assert (member.mtime, member.uid, member.gid, member.uname) == (0, 0, 0, "")
            assert member.isreg() and member.mode == 0o644


def test_a_key_with_a_dot_is_refused(tmp_path) -> None:
    with pytest.raises(AssertionError, match="first dot"):
        write_tar(tmp_path / "0.tar", [("v1.5", {"txt": b""})])


@pytest.mark.parametrize("shards", [1, 3, 4])
def test_training_shards_hold_every_sample_once(tmp_path, shards) -> None:
    sizes = write_training_shards(tmp_path / "train", SAMPLES, shards, "salt")
    assert json.loads((tmp_path / "train" / "sizes.json").read_text()) == sizes
    assert sum(sizes.values()) == 11 and max(sizes.values()) - min(sizes.values()) <= 1
    read = read_tars(tmp_path / "train" / name for name in sizes)
    assert read == SAMPLES
    write_training_shards(tmp_path / "again", dict(reversed(SAMPLES.items())), shards, "salt")
    assert tree(tmp_path / "again") == tree(tmp_path / "train")


def test_classification_set(tmp_path) -> None:
    images = {key: members["png"] for key, members in SAMPLES.items()}
    labels = {key: "odd" if int(key[1:]) % 2 else "even" for key in images}
    classes, templates = ["even", "none of them", "odd"], ["{c}", "a {c}"]
    assert write_classification_set(tmp_path / "s", images, labels, classes, templates) == 11
    read = read_set(tmp_path / "s")
    assert {k: int(m["cls"]) for k, m in read.items()} == {
        key: 0 if label == "even" else 2 for key, label in labels.items()
    }
    assert {k: m["png"] for k, m in read.items()} == images
    assert lines(tmp_path / "s" / "classnames.txt") == classes
    assert lines(tmp_path / "s" / "zeroshot_classification_templates.txt") == templates


def test_fewer_samples_than_shards_leave_no_empty_shard(tmp_path) -> None:
    write_retrieval_set(tmp_path / "s", {"a": b"1", "b": b"2"}, {"a": ["x", "y"], "b": ["z"]})
    assert (tmp_path / "s" / "test" / "nshards.txt").read_text() == "2\n"
    assert {k: m["txt"] for k, m in read_set(tmp_path / "s").items()} == {"a": b"x\ny", "b": b"z"}
    assert all(read_tars([tmp_path / "s" / "test" / f"{n}.tar"]) for n in (0, 1))
