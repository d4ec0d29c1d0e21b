"""Every encoder: composes, states its arguments, has its test; the small ones are built."""

import open_clip
import pytest
import torch
from hydra.utils import instantiate

from tests.helpers.composed import choices, composed
from tests.helpers.contract import assert_has_test, assert_keys_are_arguments


@pytest.mark.parametrize("name", choices("encoder"))
def test_config(name) -> None:
    named = ["encoder.architecture=RN50"] if name == "open_clip" else []
    config = composed(f"encoder={name}", *named).encoder
    assert_keys_are_arguments(config)
    assert_has_test(config, "encoders")
    if isinstance(config.architecture, str):
        assert config.architecture in open_clip.list_models()
    assert composed(f"encoder={name}", *named, "encoder.image_size=96").encoder.image_size == 96


@pytest.mark.parametrize("name", ["tiny", "rn50"])
def test_it_encodes(name) -> None:
    encoder = instantiate(composed(f"encoder={name}").encoder).eval()
    size = encoder.image_size
    with torch.no_grad():
        image = encoder.encode_image(torch.zeros(1, 3, size, size, dtype=torch.uint8))
        text = encoder.encode_text(encoder.tokenizer(["a red apple"]))
    assert image.shape == text.shape == (1, encoder.embed_dim)
