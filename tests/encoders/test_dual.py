import pytest
import torch

from cyclip_pl.encoders.dual import DualEncoder
from cyclip_pl.types import Batch
from tests.helpers.architectures import RESNET, TIMM, VIT


def _batch(views=1, n=3, size=32):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (views, n, 3, size, size), generator=generator)
    texts = torch.randint(1, 400, (1, n, 8), generator=generator)
    texts[..., -1] = 49407
    return Batch(images.to(torch.uint8), texts)


@pytest.mark.parametrize("architecture", [RESNET, VIT, TIMM], ids=["resnet", "vit", "timm"])
def test_features_are_open_clips_own(architecture) -> None:
    """The same weights in a plain open_clip model give the same features."""
    import open_clip

    torch.manual_seed(0)
    encoder = DualEncoder(architecture, image_size=32).eval()
    plain = open_clip.model.CLIP(**architecture).eval()
    weights = encoder.model.state_dict()
    plain.load_state_dict({**weights, "logit_scale": plain.logit_scale.detach()})
    batch = _batch()
    pixels = batch.images[0].float() / 255
    mean = torch.tensor(open_clip.OPENAI_DATASET_MEAN).view(3, 1, 1)
    std = torch.tensor(open_clip.OPENAI_DATASET_STD).view(3, 1, 1)
    features = encoder(batch)
    expected = plain.encode_image((pixels - mean) / std)
    torch.testing.assert_close(features.image[0], expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(features.text[0], plain.encode_text(batch.texts[0]))
    assert features.image.shape == (1, 3, encoder.embed_dim)
    # The scale is the objective's; DDP would wait for a parameter that no loss uses.
    assert not any("logit" in name for name, _ in encoder.named_parameters())


def test_views_pass_in_one_forward_and_keep_their_places() -> None:
    encoder = DualEncoder(VIT, image_size=32).eval()
    batch = _batch(views=2)
    features = encoder(batch)
    assert features.image.shape == (2, 3, 12)
    for view in range(2):
        alone = encoder.encode_image(batch.images[view])
        torch.testing.assert_close(features.image[view], alone, rtol=1e-4, atol=1e-5)


def test_image_size_and_context_length_are_overridden() -> None:
    encoder = DualEncoder(VIT, image_size=48, context_length=5)
    assert encoder(Batch(_batch(size=48).images, _batch().texts[..., -5:])).image.shape[-1] == 12
    assert encoder.tokenizer(["a red apple"]).shape == (1, 5)


@pytest.mark.parametrize("architecture", [RESNET, VIT, TIMM], ids=["resnet", "vit", "timm"])
def test_gradient_checkpointing_changes_no_gradient(architecture) -> None:
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        encoder = DualEncoder(architecture, image_size=32, gradient_checkpointing=checkpointing)
        features = encoder(_batch(n=4))
        (features.image.square().sum() + features.text.square().sum()).backward()
        gradients.append([p.grad for p in encoder.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, plain, rtol=1e-3, atol=1e-5)


def test_a_locked_tower_does_not_learn_or_move_its_statistics() -> None:
    encoder = DualEncoder(RESNET, image_size=32, lock_image=True).train()
    before = {k: v.clone() for k, v in encoder.model.visual.state_dict().items()}
    assert not any(p.requires_grad for p in encoder.model.visual.parameters())
    assert encoder.model.token_embedding.weight.requires_grad
    encoder(_batch())
    for name, value in encoder.model.visual.state_dict().items():
        assert torch.equal(value, before[name]), name
    encoder = DualEncoder(RESNET, image_size=32, lock_text=True)
    assert not encoder.model.token_embedding.weight.requires_grad
    assert any(p.requires_grad for p in encoder.model.visual.parameters())


def test_patch_dropout_acts_in_training_alone() -> None:
    encoder = DualEncoder(VIT, image_size=32, patch_dropout=0.5).train()
    images = _batch().images[0]
    assert not torch.equal(encoder.encode_image(images), encoder.encode_image(images))
    encoder.eval()
    assert torch.equal(encoder.encode_image(images), encoder.encode_image(images))
    with pytest.raises(ValueError, match="encoder.patch_dropout=0.5: .* is a ResNet"):
        DualEncoder(RESNET, image_size=32, patch_dropout=0.5)


def test_pretrained_weights_come_from_a_file_that_open_clip_wrote(tmp_path) -> None:
    torch.manual_seed(0)
    source = DualEncoder(VIT, image_size=32)
    weights = {**source.model.state_dict(), "logit_scale": torch.tensor(4.0)}
    path = tmp_path / "weights.pt"
    torch.save(weights, path)
    torch.manual_seed(1)
    encoder = DualEncoder(VIT, image_size=32, pretrained=str(path))
    for name, value in encoder.model.state_dict().items():
        assert torch.equal(value, weights[name]), name
    with pytest.raises(ValueError, match="encoder.pretrained=.*: does not fit"):
        DualEncoder(RESNET, image_size=32, pretrained=str(path))


def test_what_cannot_be_built_is_said_in_one_line() -> None:
    for settings, message in (
        (
            {"architecture": "ViT-B-23"},
            "encoder.architecture=ViT-B-23: open_clip has no such architecture; did you mean",
        ),
        ({"architecture": {"embed_dim": 4}}, "an inline config also needs text_cfg, vision_cfg"),
        (
            {"architecture": VIT, "pretrained": "laion9b"},
            "encoder.pretrained=laion9b: not a file or a folder, and not a tag",
        ),
        (
            {"architecture": {**VIT, "vision_cfg": {"timm_model_name": "resnot"}}},
            "encoder.architecture=.*: cannot be built",
        ),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            DualEncoder(image_size=32, **settings)
        assert "\n" not in str(caught.value)
