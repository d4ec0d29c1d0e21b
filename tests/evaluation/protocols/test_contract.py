"""What every file of conf/evaluation promises: run a new one through this by adding it."""

from __future__ import annotations

import inspect
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize, one_hot

from cyclip_pl.evaluation.build import build, entries
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.base import Protocol, run
from cyclip_pl.evaluation.results import Results
from cyclip_pl.metric_kinds import kind_of, without_bounds
from cyclip_pl.types import Model
from tests.helpers.composed import choices, composed
from tests.helpers.contract import TESTS, target
from tests.helpers.distributed import run_distributed
from tests.helpers.evaluation_sets import caption_set, coded_set
from tests.helpers.models import FeatureNet
from tests.helpers.protocols import CLASSES, one_thread, table, write_sets

NAMES = choices("evaluation")
CHANCE = {
    "fine_acc1": 1 / 3,
    "fine_acc2": 2 / 3,
    "coarse_acc1": 1 / 2,
    "coarse_acc2": 1,
    **{f"acc{k}": k / 6 for k in (1, 3, 5)},
}


def evaluations(folder: Path, sets: str = "s, t, c") -> list[Protocol]:
    """All of conf/evaluation on these sets, as `evaluation.datasets` lists them."""
    folders = ", ".join(f"{folder}/{name}" for name in sets.split(", "))
    overrides = [f"evaluation=[{','.join(NAMES)}]", f"evaluation.datasets=[{folders}]"]
    config = composed(*overrides, config_name="eval").evaluation
    for name in NAMES:
        if "in_distribution" in config[name]:
            config[name].in_distribution = f"{folder}/s"
    config.linear_probe.shots, config.linear_probe.seeds = [2, 5], [0, 1]
    return list(build(config).values())


def of(results: Results, evaluation: str) -> dict[str, float]:
    """`<set>/<metric>` -> value of one evaluation."""
    parts = {tuple(key.split("/")): value for key, value in results.metrics.items()}
    return {f"{s}/{metric}": value for (s, e, metric), value in parts.items() if e == evaluation}


def shares(results: Results, evaluation: str) -> dict[str, float]:
    """The shares of hits among them, more of which is better, without bounds."""
    found = of(results, evaluation)
    return {
        name: found[name]
        for name in without_bounds(found)
        if (kind_of(name.split("/")[1]).unit, kind_of(name.split("/")[1]).better) == ("%", 1)
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_one_entry_of_its_own_name_with_a_test(name: str) -> None:
    config = composed(f"evaluation=[{name}]").evaluation
    assert list(entries(config)) == [name]
    assert issubclass(target(config[name]), Protocol)
    assert config[name]["_target_"].startswith(f"cyclip_pl.evaluation.protocols.{name}.")
    assert (TESTS / f"evaluation/protocols/test_{name}.py").is_file()
    arguments = set(inspect.signature(target(config[name])).parameters) - {"name", "library"}
    assert set(config[name]) == {"_target_", "cadence", *arguments}
    assert set(config[name].cadence) == {"every_n_epochs", "every_n_steps"}
    assert build(config)[name].name == name


def _results(folder: Path, model: Model) -> Results:
    return run(evaluations(folder), FeatureStore(model))


@pytest.fixture(scope="module")
def perfect(tmp_path_factory: pytest.TempPathFactory) -> Results:
    # The AdamW probe takes few and small steps: it needs some hundred images.
    test, train = [n % 6 for n in range(48)], [n * 5 % 6 for n in range(300)]
    folder = write_sets(tmp_path_factory.mktemp("perfect"), test, train)
    return _results(folder, table(one_hot(torch.tensor(test + train), 6).float(), torch.eye(6)))


@pytest.fixture(scope="module")
def random(tmp_path_factory: pytest.TempPathFactory) -> Results:
    test, train = [n % 6 for n in range(1500)], [n % 6 for n in range(900)]
    folder = write_sets(tmp_path_factory.mktemp("random"), test, train)
    generator = torch.Generator().manual_seed(0)
    image_ND = normalize(torch.randn(2400, 12, generator=generator), dim=1)
    text_KD = normalize(torch.randn(6, 12, generator=generator), dim=1)
    return _results(folder, table(image_ND, text_KD))


@pytest.fixture(scope="module")
def diverged(tmp_path_factory: pytest.TempPathFactory) -> Results:
    labels = [n % 6 for n in range(30)]
    folder = write_sets(tmp_path_factory.mktemp("diverged"), labels, labels)
    nan_ND, nan_KD = torch.full((60, 6), math.nan), torch.full((6, 6), math.nan)
    return _results(folder, table(nan_ND, nan_KD))


@pytest.mark.parametrize("name", NAMES)
def test_results_are_those_of_its_sets(name: str, perfect: Results) -> None:
    found = of(perfect, name)
    assert found and all(math.isfinite(value) for value in found.values())
    titles = {f"{metric.split('/')[0]}/{name}" for metric in found}
    assert {title for title in perfect.details if title.endswith(f"/{name}")} == titles
    for title in titles & perfect.predictions.keys():
        columns = perfect.predictions[title]
        assert {"index", "key"} <= columns.keys()
        assert len({len(column) for column in columns.values()}) == 1
    for metric in found:
        if metric.endswith("/samples"):
            assert found[metric] == 48


@pytest.mark.parametrize("name", NAMES)
def test_perfect_embeddings_score_one(name: str, perfect: Results) -> None:
    # Images of one class have one embedding: retrieval cannot tell them apart.
    found = {} if name == "retrieval" else shares(perfect, name)
    assert found == pytest.approx(dict.fromkeys(found, 1.0))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_random_embeddings_score_at_chance(name: str, random: Results) -> None:
    for metric, value in ({} if name == "retrieval" else shares(random, name)).items():
        expected = CHANCE.get(metric.split("/")[1], 1 / 6)
        assert value == pytest.approx(expected, abs=5 * (0.25 / 1500) ** 0.5), metric


@pytest.mark.parametrize("name", NAMES)
def test_a_diverged_model_scores_nothing_and_ends_no_training(name: str, diverged: Results) -> None:
    found = shares(diverged, name)
    assert all(value == 0 for value in found.values()), found
    counts = [value for metric, value in of(diverged, name).items() if metric.endswith("samples")]
    assert set(counts) == {30}


def write_uneven_sets(folder: Path) -> Path:
    """In batches of 8 no share is equal; of `few`, `f` and `d` some ranks have no batch."""
    write_sets(folder, [n * 7 % 6 for n in range(37)], [n % 6 for n in range(29)], broken=[2, 33])
    coded_set(folder / "few", [n % 6 for n in range(5)], CLASSES)
    coded_set(folder / "few", [n % 6 for n in range(13)], CLASSES, split="train", first=40)
    (folder / "few/hierarchy.json").write_text((folder / "h.json").read_text())
    captions = [[f"a {n} {i}" for i in range(1 + n % 4)] for n in range(7)]
    caption_set(folder / "d", [*captions, ["the same"], ["the same"]], broken=[8])
    return folder


def _on_a_rank(folder: Path) -> Results:
    every = evaluations(folder, "s, t, c, few, d")
    return run(every, FeatureStore(FeatureNet(), batch_size=8))


@pytest.fixture(scope="module")
def by_ranks(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[Results]]:
    """Number of ranks -> what each of them finds."""
    folder = write_uneven_sets(tmp_path_factory.mktemp("uneven"))
    with one_thread():
        alone = _on_a_rank(folder)
    return {1: [alone], **{world: run_distributed(_on_a_rank, world, folder) for world in (2, 3)}}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("world", [2, 3])
def test_ranks_agree_with_one_process_to_the_last_digit(
    name: str, world: int, by_ranks: dict[int, list[Results]]
) -> None:
    (alone,) = by_ranks[1]
    assert len(of(alone, name)) > 1
    for results in by_ranks[world]:
        assert of(results, name) == of(alone, name)
        for kind in ("details", "predictions"):
            found, expected = getattr(results, kind), getattr(alone, kind)
            titles = {title for title in expected if title.endswith(f"/{name}")}
            assert {t: found[t] for t in titles} == {t: expected[t] for t in titles}


def _shares_of_hits(results: Results, evaluation: str) -> dict[str, float]:
    """`<set>/<metric>` -> the share of hits, from the bits in the details."""
    found = {}
    for title in [title for title in results.details if title.endswith(f"/{evaluation}")]:
        hits = results.details[title].get("hits", {})
        for kind in ("images", "texts"):
            for metric, bits in hits.get(kind, {}).items():
                count = sum(hits["texts_of_image"]) if kind == "texts" else hits["count"]
                right = np.unpackbits(np.frombuffer(bytes.fromhex(bits), np.uint8))
                assert len(right) - 8 < count <= len(right) and not right[count:].any()
                found[f"{title.split('/')[0]}/{metric}"] = float(right[:count].mean())
    return found


WITH_HITS = ["consistency", "hierarchy", "knn", "linear_probe"]
WITH_HITS += ["retrieval", "robustness", "zero_shot"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_hits_of_single_images_make_the_metrics(
    name: str, by_ranks: dict[int, list[Results]], random: Results
) -> None:
    values = set()
    for results in (by_ranks[1][0], random):
        found = _shares_of_hits(results, name)
        # A mean over classes, sets or draws is not one over images.
        every = shares(results, name).items()
        single = {key: x for key, x in every if not re.search("recall|mean|shot_", key)}
        assert found == pytest.approx(single)
        values |= set(found.values())
    # An evaluation need not keep them; these do.
    assert len(values) > 2 or name not in WITH_HITS


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_details_name_images_that_are_there(name: str, by_ranks: dict[int, list[Results]]) -> None:
    (mixed,) = by_ranks[1]
    for title in [title for title in mixed.details if title.endswith(f"/{name}")]:
        details = mixed.details[title]
        queries = details.get("gallery", []) + details.get("failures", [])
        shown = [one for query in queries for one in (query, *query.get("found", ()))]
        images = mixed.images.get(title, {})
        assert {one["image"] for one in shown} == images.keys() and len(images) <= 64
        assert all(read().size == (8, 8) for read in images.values())
