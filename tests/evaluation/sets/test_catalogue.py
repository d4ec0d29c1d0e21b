from __future__ import annotations

import inspect

import pytest
import torchvision

from cyclip_pl.evaluation.probes.linear_classifier import METRICS
from cyclip_pl.evaluation.sets.catalogue import entries
from cyclip_pl.evaluation.sets.remote import is_remote

LINEAR_PROBE = [
    "caltech101",
    "cifar10",
    "cifar100",
    "dtd",
    "aircraft",
    "flowers102",
    "food101",
    "gtsrb",
    "imagenet",
    "oxford_pets",
    "rendered_sst2",
    "stanford_cars",
    "stl10",
    "svhn",
]
SHIFTS = ["imagenet_v2", "imagenet_sketch", "imagenet_a", "imagenet_r", "objectnet"]


def test_the_papers_sets_are_there() -> None:
    assert len(LINEAR_PROBE) == 14 and len(SHIFTS) == 5
    assert set(LINEAR_PROBE) | set(SHIFTS) <= set(entries())


def test_metrics_of_the_clip_protocol() -> None:
    mean = {name for name, entry in entries().items() if entry.metric == "mean_per_class_recall"}
    assert mean == {"caltech101", "aircraft", "flowers102", "oxford_pets"}


@pytest.mark.parametrize("name", entries())
def test_an_entry_is_torchvisions_or_behind_a_url(name) -> None:
    entry = entries()[name]
    assert entry.metric in METRICS
    assert (entry.torchvision is None) != (entry.wds is None)
    if entry.wds is not None:
        assert is_remote(entry.wds)
        return
    takes = inspect.signature(getattr(torchvision.datasets, entry.torchvision)).parameters
    for arguments in entry.splits.values():
        for part in arguments if isinstance(arguments, list) else [arguments]:
            assert set(part) <= set(takes)
    assert len(set(entry.classnames)) == len(entry.classnames) in (0, 2, 10, 43)
