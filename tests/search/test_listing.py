"""Places and captions of samples, of every layout, and of damaged and hostile shards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cyclip_pl.search.listing import Listing, make_listing, read_listing, write_listing
from cyclip_pl.search.shards import find_shards
from tests.helpers.evaluation_sets import coded_set, png, write_tar
from tests.helpers.tars import tar


def listed(folder: Path, **settings: object) -> Listing:
    return make_listing(find_shards([str(folder)], folder / "copies"), **settings)


def captions(listing: Listing) -> dict[str, list[str]]:
    return {
        listing.key(i): [listing.texts[text] for text in listing.captions(i)]
        for i in range(len(listing))
    }


def shard(folder: Path, *files: tuple[str, bytes], name: str = "0.tar") -> Path:
    folder.mkdir(exist_ok=True)
    write_tar(folder / name, files)
    return folder


def test_places_are_those_of_the_images(world: Path) -> None:
    listing = listed(world / "train")
    assert len(listing) == 96 and len(listing.texts) == 12
    for i in (0, 40, 95):
        assert listing.data(i)[:4] == b"\x89PNG"
        assert listing.image(i).size == (24, 24)
        assert f"sample {listing.key(i)}" in listing.where(i)
        assert listing.name_of(i).endswith(f".tar/{listing.key(i)}")
        assert "/" not in listing.name_of(i).removesuffix(listing.key(i))[:-1]
    assert all(len(texts) == 1 for texts in captions(listing).values())


def test_class_names_are_captions(world: Path) -> None:
    listing = listed(world / "shapes")
    assert len(listing) == 36
    assert (
        sorted(listing.texts)
        == sorted((world / "shapes/classnames.txt").read_text().split("\n"))[1:]
    )


def test_an_evaluation_sets_text_has_a_caption_per_line(world: Path, tmp_path: Path) -> None:
    of_set = captions(listed(world / "captions"))
    assert {len(texts) for texts in of_set.values()} == {2}
    # In training a text is one caption, whatever lines it has.
    shard(tmp_path / "x", ("a.png", png()), ("a.txt", b"one\ntwo"))
    assert captions(listed(tmp_path / "x")) == {"a": ["one\ntwo"]}


def test_captions_in_json(tmp_path: Path) -> None:
    table = {"captions": ["a", "b"], "caption": "c", "alt": "d"}
    shard(
        tmp_path / "x",
        *(("a.png", png()), ("a.json", json.dumps(table).encode())),
        *(("b.png", png()), ("b.json", json.dumps({"caption": "e"}).encode())),
        *(("c.png", png()), ("c.json", b'{"caption": "f"}'), ("c.txt", b"g")),
    )
    assert captions(listed(tmp_path / "x")) == {"a": ["a", "b"], "b": ["e"], "c": ["g"]}
    by_key = listed(tmp_path / "x", caption_key="alt")
    assert captions(by_key) == {"a": ["d"], "b": [], "c": []}
    assert by_key.skipped == {"missing caption": 2}


def test_hostile_samples(tmp_path: Path) -> None:
    shard(
        tmp_path / "x",
        *(("a.png", png()), ("a.txt", b"\xff\xfe")),
        *(("b.png", png()), ("b.json", b'{"caption": "\\ud800 half"}')),
        *(("c.png", png()), ("c.json", b"[" * 100_000)),
        *(("d.png", png()), ("d.cls", b"9" * 10_000)),
        ("e.txt", b"no image"),
        *(("../../f.png", png()), ("../../f.txt", b"outside")),
        *(("g.png", png()), ("g.txt", b"x" * (1 << 21))),
    )
    listing = listed(tmp_path / "x")
    assert captions(listing) == {
        "a": [], "b": ["? half"], "c": [], "d": [], "../../f": ["outside"], "g": [],
    }  # fmt: skip
    assert listing.skipped["no image"] == 1
    assert sum(listing.skipped.values()) == 1 + 4


def test_the_end_of_a_damaged_shard_is_left_out(tmp_path: Path, caplog) -> None:
    files = [
        (f"{i}.{kind}", png() if kind == "png" else b"x")
        for i in range(4)
        for kind in ("png", "txt")
    ]
    (tmp_path / "0.tar").write_bytes(tar(files)[: 5 * 512 * 2])
    (tmp_path / "1.tar").write_bytes(tar([("z.png", png()), ("z.txt", b"z")]))
    listing = listed(tmp_path)
    assert listing.keys[0] == "0" and listing.keys[-1] == "z" and 2 <= len(listing) < 5
    assert "0.tar: the rest is left out" in caplog.text
    assert listing.skipped["cut shard"] == 1


def test_a_limit(world: Path) -> None:
    assert listed(world / "train", limit=5).keys == listed(world / "train").keys[:5]


def test_no_image(tmp_path: Path) -> None:
    shard(tmp_path / "x", ("a.txt", b"x"))
    with pytest.raises(ValueError, match=r"^shards: no images in .*no image"):
        listed(tmp_path / "x")


def test_a_listing_is_stored(world: Path, tmp_path: Path) -> None:
    made = listed(world / "captions")
    write_listing(tmp_path / "listing.npz", made)
    again = read_listing(tmp_path / "listing.npz", made.shards)
    assert again is not None
    assert captions(again) == captions(made)
    assert again.data(7) == made.data(7)
    assert again.skipped == made.skipped
    # Damaged, missing, or of other shards.
    other = [made.shards[0]._replace(stamp=(1, 1)), *made.shards[1:]]
    assert read_listing(tmp_path / "listing.npz", other) is None
    (tmp_path / "listing.npz").write_bytes((tmp_path / "listing.npz").read_bytes()[:-40])
    assert read_listing(tmp_path / "listing.npz", made.shards) is None
    assert read_listing(tmp_path / "nothing.npz", made.shards) is None


def test_a_shard_that_changes_is_not_read_at_old_places(tmp_path: Path) -> None:
    coded_set(tmp_path / "set", [0, 1, 0], ["x", "y"], shards=1)
    listing = listed(tmp_path / "set")
    assert listing.data(1)
    coded_set(tmp_path / "new", [0, 1, 0, 1], ["x", "y"], shards=1)
    (tmp_path / "new/test/0.tar").replace(tmp_path / "set/test/0.tar")
    with pytest.raises(ValueError, match="has changed since the search began"):
        listing.data(1)
    (tmp_path / "set/test/0.tar").unlink()
    with pytest.raises(ValueError, match="has changed since the search began"):
        listing.data(1)
