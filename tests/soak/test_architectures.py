"""Every network that open_clip ships with a text tower of its own is an encoder that learns."""

from __future__ import annotations

import open_clip
import pytest
import torch

from cyclip_pl.encoders import dual

pytestmark = pytest.mark.soak

NAMES = [
    name
    for name in open_clip.list_models()
    if not open_clip.get_model_config(name)["text_cfg"].get("hf_model_name")
]


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without memory, and without the tokenizers that are not part of open_clip."""
    monkeypatch.setattr(dual, "_tokenizer", lambda *unused: None)
    with torch.device("meta"):
        encoder = dual.DualEncoder(name)
        side, length = encoder.image_size, encoder.config["text_cfg"].get("context_length", 77)
        image = encoder.encode_image(torch.zeros(2, 3, side, side))
        text = encoder.encode_text(torch.zeros(2, length, dtype=torch.long))
        assert image.shape == text.shape == (2, encoder.embed_dim)
        (image.sum() + text.sum()).backward()
    learning = {n: p for n, p in encoder.named_parameters() if p.requires_grad}
    assert [n for n, p in learning.items() if p.grad is None] == []
