"""conf/data and conf/views against the classes they name."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf

from cyclip_pl.data.module import DataModule
from tests.data.shards import number_tokenizer, numbers, write_shards

CONF = Path(__file__).parents[2] / "conf"


def composed(group: str, name: str) -> DictConfig:
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(overrides=[f"+{group}={name}", "+encoder.image_size=8"])
    return config


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONF / "views").glob("*.yaml")))
def test_views(name: str) -> None:
    config = composed("views", name)
    views = instantiate(config.views)
    assert views.image_size == 8 and views.image_views == views.text_views == 1
    arguments = set(inspect.signature(type(views)).parameters) - {"self"}
    assert {key for key in config.views if not str(key).startswith("_")} == arguments


@pytest.mark.parametrize("name", ["webdataset", "emoji"])
def test_data_keys_are_the_constructors(name: str) -> None:
    data = composed("data", name).data
    wired = {"views", "tokenizer", "seed"}
    arguments = set(inspect.signature(DataModule).parameters)
    assert {key for key in data if not str(key).startswith("_")} == arguments - wired
    for group in ("train", "shuffle"):
        named = set(inspect.signature(get_class(data[group]._target_)).parameters)
        assert set(data[group]) - {"_target_"} == named


def test_the_general_one_asks_for_shards() -> None:
    assert OmegaConf.missing_keys(composed("data", "webdataset")) == {"data.train.shards"}


def built(config: DictConfig) -> DataModule:
    views = instantiate(composed("views", "single").views)
    module: Any = instantiate(config.data, views=views, tokenizer=number_tokenizer, seed=0)
    return module


def test_a_composed_module_reads(tmp_path: Path) -> None:
    write_shards(tmp_path, [6, 6])
    config = composed("data", "webdataset")
    config.data.batch_size = 4
    config.data.workers = 0
    config.data.train.shards = f"{tmp_path}/{{00000..00001}}.tar"
    module = built(config)
    module.setup("fit")
    found = [n for batch in module.train_dataloader() for n in numbers(batch)]
    assert sorted(found) == list(range(12))


def test_weighted_sources_from_a_config(tmp_path: Path) -> None:
    for source in "ab":
        write_shards(tmp_path / source, [6])
    config = composed("data", "webdataset")
    config.data.workers = 0
    config.data.batch_size = 4
    config.data.train.resampled = True
    config.data.train.shards = [
        {"shards": str(tmp_path / "a"), "weight": 1},
        {"shards": [f"{tmp_path}/b/00000.tar"], "weight": 2},
    ]
    module = built(config)
    module.setup("fit")
    assert len(list(module.train_dataloader())) == 3


def test_the_emoji_config_names_how_its_shards_are_made() -> None:
    data = composed("data", "emoji").data
    assert data.train.shards == "data/emoji/train" and data.caption_key == "captions"
    assert data.prepare == {
        "_target_": "cyclip_pl.data.prepare.emoji.prepare",
        "_partial_": True,
        "output": "data/emoji",
    }
