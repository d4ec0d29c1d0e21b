"""The card is what Hugging Face reads, says what the run said, and takes texts as texts."""

from __future__ import annotations

import re

import pytest
import yaml
from huggingface_hub import ModelCard, metadata_load
from markdown import markdown as rendered

from cyclip_pl.models.export.card import card
from cyclip_pl.models.export.facts import Facts
from cyclip_pl.models.export.text import block, code, table

MADE_BY = {"started": "2026-01-02", "device": "cpu", "git": {"revision": "abc", "dirty": False}}
FACTS = Facts(
    config={
        "seed": 3,
        "objective": {
            "_target_": "cyclip_pl.objectives.cyclip.CyCLIP",
            "lambda_in_modal": 0.25,
            "lambda_cross_modal": 0.5,
        },
        "data": {"train": {"shards": "/data/cc3m/{0..9}.tar"}, "batch_size": 128},
        "encoder": {"_target_": "cyclip_pl.encoders.dual.DualEncoder", "architecture": "RN50"},
    },
    provenance={
        "command": "/home/me/bin/train.py seed=3 data.train.shards=/data/x",
        "packages": {"torch": "2.6"},
        "started": "2025",
    },
    step=600,
    samples=76_800,
    metrics={
        "cifar10/zero_shot/acc1": 0.443,
        "cifar10/zero_shot/acc1_low": 0.43,
        "cifar10/zero_shot/acc1_high": 0.456,
        "cifar10/zero_shot/samples": 10_000.0,
        "flickr/retrieval/image_to_text_r1": 0.5,
    },
    data_license="CC BY 4.0",
)


def made(facts: Facts = FACTS, **settings):
    given = {"formats": ["open_clip"], "notes": [], "license": "mit", "data_license": None}
    return card(facts, name="my-model", made_by=MADE_BY, **(given | settings))


def test_hugging_face_reads_it(tmp_path) -> None:
    path = tmp_path / "README.md"
    path.write_text(made(), encoding="utf-8")
    metadata = metadata_load(path)
    assert metadata["license"] == "mit"
    assert metadata["library_name"] == "open_clip"
    assert metadata["pipeline_tag"] == "zero-shot-image-classification"
    assert {"clip", "cyclip"} <= set(metadata["tags"])
    (result,) = ModelCard.load(path).data.eval_results
    assert (result.dataset_name, result.metric_value) == ("cifar10", 0.443)


def test_what_it_says() -> None:
    text = made(notes=["A head is folded."])
    for said in (
        "`CyCLIP` with `lambda_in_modal=0.25`, `lambda_cross_modal=0.5`",
        "`/data/cc3m/{0..9}.tar`",
        "76,800 image-text pairs seen",
        "600 steps",
        "| `cifar10/zero_shot` | `acc1 (%)` | 44.3 | 43.0 to 45.6 |",
        "| `flickr/retrieval` | `image_to_text_r1 (%)` | 50.0 |  |",
        "'architecture': 'RN50'",
        "\ntrain.py seed=3 data.train.shards=/data/x\n",
        "`torch` `2.6`",
        "`git` `abc`",
        "Weights: `mit`. Training data: `CC BY 4.0`.",
        "- A head is folded.",
        'open_clip.create_model_and_transforms("local-dir:DIR")',
    ):
        assert said in text, said
    assert "samples" not in text.partition("## Metrics")[2].partition("##")[0]


def test_licences() -> None:
    front = yaml.safe_load(made(license="My own: terms").split("---\n")[1])
    assert (front["license"], front["license_name"]) == ("other", "My own: terms")
    text = made(license=None, data_license="CC0")
    assert "license" not in yaml.safe_load(text.split("---\n")[1])
    assert "Weights: not stated. Training data: `CC0`." in text


def test_a_name_on_the_hub_is_used() -> None:
    text = made(formats=["open_clip", "transformers", "onnx", "torch_export"], repository="org/m")
    assert 'create_model_and_transforms("hf-hub:org/m")' in text
    assert 'CLIPModel.from_pretrained("org/m")' in text
    assert "local-dir" not in text and "onnxruntime" in text and "torch.export.load" in text


def test_nothing_is_known() -> None:
    text = made(Facts(), formats=["torch_export"], license=None)
    front = yaml.safe_load(text.split("---\n")[1])
    assert "library_name" not in front and "model-index" not in front
    assert "Data: not stated." in text and "no metrics of these weights" in text
    assert "Training: not stated." in text


HOSTILE = [
    "x`<img src=x onerror=alert(1)>`y",
    "a\n---\nlicense: gpl\n---\n# title",
    "[click](javascript:alert(1)) | ``` | <script>",
    "\x1b[31mred\x00 \u202e",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_of_strangers_stay_texts(text: str) -> None:
    facts = Facts(
        config={
            "objective": {"_target_": f"a.{text}", text: text},
            "data": {"train": {"shards": text}},
            "views": {text: [text]},
        },
        provenance={"command": text, "device": text, "packages": {text: text}},
        metrics={f"{text}/zero_shot/acc1": 0.5},
        data_license=text,
    )
    shown = made(facts)
    front = yaml.safe_load(shown.split("---\n")[1])
    assert front["license"] == "mit"
    assert shown.count("\n---\n") == 1 and "\n# title" not in shown
    assert all(c.isprintable() or c == "\n" for c in shown)
    html = _outside_code(shown.split("---\n", 2)[2])
    assert "<img" not in html and "<script" not in html and "](java" not in html


def _outside_code(markdown: str) -> str:
    """As a reader of Markdown sees it, without code spans and blocks."""
    html = rendered(markdown, extensions=["fenced_code", "tables"])
    return re.sub(r"<code.*?</code>", "", html, flags=re.DOTALL)


def test_code() -> None:
    assert code("a") == "`a`" and code("") == "–"
    assert code("a`b") == "`` a`b ``"
    assert code("a\nb") == "`a b`"
    assert len(code("x" * 10_000)) < 2100
    assert block("```") == "````\n```\n````"
    assert table(("a",), [("x|y",)]) == "| a |\n| --- |\n| x\\|y |"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:secret@host/a.tar", "https://…@host/a.tar"),
        ("s3://b/a.tar?X-Amz-Signature=secret x=1", "s3://b/a.tar x=1"),
        ("HF_TOKEN=secret train.py seed=1", "HF_TOKEN=… train.py seed=1"),
        ("logger.api_key='secret' x", "logger.api_key=… x"),
        ("/data/{000..331}.tar seed=1?", "/data/{000..331}.tar seed=1?"),
    ],
)
def test_what_is_secret_is_left_out(text: str, shown: str) -> None:
    assert code(text) == f"`{shown}`"
    assert "secret" not in block(text)
