"""conf/data and conf/views against the classes they name."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from cyclip_pl.data.module import DataModule
from cyclip_pl.data.seeds import generator
from tests.data.shards import number_tokenizer, numbers, write_shards

CONF = Path(__file__).parents[2] / "conf"


def composed(group: str, name: str, *overrides: str) -> DictConfig:
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(overrides=[f"+{group}={name}", "+encoder.image_size=8", *overrides])
    return config


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONF / "views").glob("*.yaml")))
def test_views(name: str) -> None:
    config = composed("views", name)
    states_all_arguments(config.views)
    views = instantiate(config.views)
    image = Image.new("RGB", (20, 30), (200, 100, 50))
    viewed = views(image, ["a red apple", "fruit"], generator("t"))
    assert viewed.images.shape == (views.image_views, 3, 8, 8)
    assert len(viewed.texts) == views.text_views and all(viewed.texts)
    if views.parameters:
        assert viewed.augmentation.shape == (views.image_views, views.parameters)
        assert viewed.augmentation.dtype == torch.float32
    else:
        assert viewed.augmentation is None


def states_all_arguments(config: DictConfig) -> None:
    """A view's YAML states every argument of its class; views made of named ones name them."""
    signature = inspect.signature(get_class(config["_target_"])).parameters.values()
    stated = {key for key in config if not str(key).startswith("_")}
    arguments = {p.name for p in signature if p.kind is not p.VAR_KEYWORD}
    assert arguments <= stated
    blocks = stated - arguments
    assert bool(blocks) == any(p.kind is p.VAR_KEYWORD for p in signature)
    for block in blocks:
        states_all_arguments(config[block])


def test_blocks_are_set_each_for_itself() -> None:
    overrides = ["views.strong.scale=[0.3,1]", "views.weak.scale=[0.9,1]"]
    views = instantiate(composed("views", "weak_two_strong", *overrides).views)
    weak, *strong = views.views
    assert weak.crop.scale == [0.9, 1] and weak.crop.flip == 0
    assert len(strong) == 2 and all(view.crop.scale == [0.3, 1] for view in strong)
    fewer = instantiate(composed("views", "weak_two_strong", "views.order=[strong,weak]").views)
    assert fewer.image_views == 2 and fewer.views[1].crop.scale == [0.5, 1.0]


@pytest.mark.parametrize("name", ["webdataset", "emoji"])
def test_data_keys_are_the_constructors(name: str) -> None:
    data = composed("data", name).data
    wired = {"views", "tokenizer", "text_length", "seed", "image_size"}
    arguments = set(inspect.signature(DataModule).parameters)
    assert {key for key in data if not str(key).startswith("_")} == arguments - wired
    for group in ("train", "val", "shuffle"):
        named = set(inspect.signature(get_class(data[group]._target_)).parameters)
        assert set(data[group]) - {"_target_"} == named


def test_the_general_one_asks_for_shards() -> None:
    assert OmegaConf.missing_keys(composed("data", "webdataset")) == {"data.train.shards"}


def built(config: DictConfig) -> DataModule:
    views = instantiate(composed("views", "plain").views)
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
        "_target_": "cyclip_pl.data.prepare.emoji.refresh",
        "_partial_": True,
        "output": "data/emoji",
    }
