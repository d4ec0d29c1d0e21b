"""The command: a folder that others load, whole or not at all, and metrics that stay the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cyclip_pl.data.prepare.shards import write_retrieval_set
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.protocols.retrieval import Retrieval
from cyclip_pl.evaluation.protocols.zero_shot import ZeroShot
from cyclip_pl.exporting import export
from tests.helpers.architectures import RESNET, VIT
from tests.helpers.composed import composed
from tests.helpers.exported import assert_same, trained, write_run
from tests.helpers.world import CLASSES, shape_png

ROOT = Path(__file__).parents[1]


def run(source: Path, out: Path, *overrides: str) -> Path:
    """Export as the command does."""
    settings = (f"checkpoint={source}", f"out={out}", *overrides)
    return export(composed(*settings, config_name="export"))


def test_a_run_folder(tmp_path, capsys) -> None:
    model = write_run(tmp_path / "run", VIT, dim=7)
    out = run(tmp_path / "run", tmp_path / "new" / "model", "license=mit")
    assert_same(out, model)
    assert {path.name for path in out.iterdir()} == {
        "README.md",
        "export.json",
        "open_clip_config.json",
        "open_clip_model.safetensors",
    }
    facts = json.loads((out / "export.json").read_text())
    assert (facts["formats"], facts["embed_dim"], facts["image_size"]) == (["open_clip"], 7, 32)
    assert (facts["scale"], facts["bias"]) == (23.0, None)
    card = (out / "README.md").read_text()
    assert "license: mit" in card and "# model\n" in card and "| 50.0 |" in card
    assert "The projector's image head is folded" in card
    assert capsys.readouterr().out.startswith(f"exported: {out} (README.md, export.json, open_clip")


def test_weights_behind_the_average(tmp_path) -> None:
    averaged = trained(VIT)
    raw = {name: weight + 0.01 for name, weight in averaged.state_dict().items()}
    write_run(tmp_path / "run", VIT, current_model_state=raw)
    assert_same(run(tmp_path / "run", tmp_path / "saved"), averaged)
    out = run(tmp_path / "run", tmp_path / "raw", "weights=raw")
    averaged.load_state_dict(raw)
    assert_same(out, averaged)
    assert "holds no metrics of these weights" in (out / "README.md").read_text()
    # Without an average both are those of the last step.
    plain = trained(VIT)
    write_run(tmp_path / "plain", VIT)
    assert_same(run(tmp_path / "plain", tmp_path / "same", "weights=raw"), plain)


def test_nothing_is_left_of_an_export_that_fails(tmp_path) -> None:
    write_run(tmp_path / "run", RESNET)
    with pytest.raises(ValueError, match=r"^format=transformers: its image tower is a ResNet"):
        run(tmp_path / "run", tmp_path / "out", "format=[open_clip,transformers]")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_what_is_replaced(tmp_path) -> None:
    write_run(tmp_path / "run", VIT)
    out = run(tmp_path / "run", tmp_path / "out")
    with pytest.raises(ValueError, match=r"^out=\S+out: exists and is not empty; add overwrite="):
        run(tmp_path / "run", out)
    (out / "old").touch()
    run(tmp_path / "run", out, "overwrite=true")
    assert not (out / "old").exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").touch()
    with pytest.raises(ValueError, match=r"^out=\S+mine: holds something that no export wrote"):
        run(tmp_path / "run", mine, "overwrite=true")
    with pytest.raises(ValueError, match=r"thesis.tex: is not a folder"):
        run(tmp_path / "run", mine / "thesis.tex", "overwrite=true")
    assert [path.name for path in mine.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("value", ["openclip", "[]", "[open_clip,oonx]"])
def test_formats(tmp_path, value) -> None:
    with pytest.raises(ValueError, match=r"^format=.*: must be one .*open_clip, transformers"):
        run(tmp_path, tmp_path / "out", f"format={value}")


def test_an_upload_needs_a_token_before_anything_begins(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(ValueError, match=r"^push=org/model: needs a token"):
        run(tmp_path / "missing", tmp_path / "out", "push=org/model")


@pytest.mark.slow
def test_the_command_leaves_nothing_behind(tmp_path) -> None:
    write_run(tmp_path / "run", VIT)
    folder = tmp_path / "here"
    folder.mkdir()
    command = [sys.executable, "-c", "from cyclip_pl.cli import export; export()"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def called(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments],
            cwd=folder, env=environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    done = called("checkpoint=../run", "out=model")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in folder.iterdir()] == ["model"]
    done = called("checkpoint=../run", "out=model")
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.splitlines() == [
        "error: out=model: exists and is not empty; add overwrite=true, or name another folder"
    ]


@pytest.mark.slow
def test_clip_benchmark_finds_the_same_metrics(tmp_path, world, monkeypatch) -> None:
    """Of the exported folder, by open_clip and clip_benchmark alone."""
    pytest.importorskip("clip_benchmark")
    from clip_benchmark.datasets.builder import build_wds_dataset, image_captions_collate_fn
    from clip_benchmark.metrics import zeroshot_classification, zeroshot_retrieval
    from clip_benchmark.models.open_clip import load_open_clip
    from torch.utils.data import DataLoader

    def accuracy(output, target, topk=(1,)):  # its own, but for a cast that NumPy 2.4 refuses
        hits = output.topk(max(topk), 1, True, True)[1].t().eq(target.view(1, -1))
        return [hits[:k].sum().item() / len(target) for k in topk]

    monkeypatch.setattr(zeroshot_classification, "accuracy", accuracy)
    model = write_run(tmp_path / "run", VIT, dim=7)
    out = run(tmp_path / "run", tmp_path / "model")
    network, preprocess, tokenizer = load_open_clip(f"local-dir:{out}", None, None, "cpu")
    store = FeatureStore(model)
    ours = ZeroShot([f"{world}/shapes"])(store).metrics
    theirs = build_wds_dataset("wds/shapes", preprocess, data_dir=f"{world}/shapes")
    loader = DataLoader(theirs.batched(9), batch_size=None)
    loader.dataset.classes = theirs.classes
    expected = zeroshot_classification.evaluate(
        network, loader, tokenizer, theirs.classes, theirs.templates, "cpu", amp=False
    )
    for name in ("acc1", "acc5", "mean_per_class_recall"):
        assert ours[f"shapes/zero_shot/{name}"] == pytest.approx(expected[name], abs=1e-9)
    assert 0 < expected["acc5"] < 1
    # Each caption is there once: where rows are the same, we count the worst order.
    shown = {f"{n:03d}": shape_png(n) for n in range(36)}
    captions = {key: [f"shape {key}", f"{key} {CLASSES[int(key) % 12]}"] for key in shown}
    folder = tmp_path / "captions"
    write_retrieval_set(folder, shown, captions)
    ours = Retrieval([str(folder)], recall_at=[1, 5, 20])(store).metrics
    theirs = build_wds_dataset("wds/captions", preprocess, data_dir=str(folder))
    loader = DataLoader(theirs.batched(9, collation_fn=image_captions_collate_fn), batch_size=None)
    expected = zeroshot_retrieval.evaluate(
        network, loader, tokenizer, "cpu", amp=False, recall_k_list=[1, 5, 20]
    )
    for k in (1, 5, 20):
        for mine, other in (("text_to_image", "image"), ("image_to_text", "text")):
            found = expected[f"{other}_retrieval_recall@{k}"]
            assert ours[f"captions/retrieval/{mine}_r{k}"] == pytest.approx(found, abs=1e-6)
