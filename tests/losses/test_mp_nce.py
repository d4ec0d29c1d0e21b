import pytest
import torch

from cyclip_pl.losses.mp_nce import mp_nce_loss
from cyclip_pl.objectives.needs import Needs
from tests.helpers.embeddings import embeddings
from tests.helpers.formulas import contrastive, mp_nce, relative_error, with_gradients


def _inputs(image_views, text_views, n=5):
    rows = embeddings(Needs(image_views, text_views), n=n)
    scales = torch.tensor([9.0, 14.0, 5.0], dtype=torch.float64)
    offsets = torch.tensor([0.3, -0.1, 0.2], dtype=torch.float64)
    return rows.image, rows.text, scales, offsets


@pytest.mark.parametrize("pair_weight", ["balanced", "uniform"])
@pytest.mark.parametrize("views", [(1, 1), (3, 1), (2, 2), (1, 3)])
def test_value_and_gradients_are_the_formulas(views, pair_weight) -> None:
    inputs = _inputs(*views)
    ours = with_gradients(lambda *x: mp_nce_loss(*x, pair_weight), *inputs)
    expected = with_gradients(lambda *x: mp_nce(*x, pair_weight), *inputs)
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)


def test_a_pair_that_is_won_keeps_a_gradient_where_exponentials_lose_it() -> None:
    # log(x + ε) of a ratio that float32 rounds to one would be constant here.
    rows = embeddings(Needs(2, 1), n=3, width=16)
    image = rows.text.expand(2, -1, -1).float() + 1e-3 * rows.image.float()
    scales = torch.full((3,), 40.0)
    inputs = (image, rows.text.float(), scales, torch.zeros(3))
    narrow = with_gradients(lambda *x: mp_nce_loss(*x), *inputs)
    wide = with_gradients(lambda *x: mp_nce_loss(*x), *(x.double() for x in inputs))
    assert 0 < wide[0][0] < 1e-6
    assert relative_error(narrow[0][0], wide[0][0]) < 1e-3
    for actual, expected in zip(narrow[1], wide[1], strict=True):
        assert relative_error(actual, expected) < 1e-3


def test_a_common_offset_of_one_scale_cancels() -> None:
    image, text, _, _ = _inputs(3, 1)
    scales, offsets = torch.full((3,), 9.0).double(), torch.zeros(3).double()
    torch.testing.assert_close(
        mp_nce_loss(image, text, scales, offsets), mp_nce_loss(image, text, scales, offsets + 0.7)
    )


def test_bad_input_is_refused() -> None:
    image, text, scales, offsets = _inputs(2, 1)
    with pytest.raises(ValueError, match=r"must be \(V, n, D\) and \(U, n, D\)"):
        mp_nce_loss(image[0], text[0], scales, offsets)
    with pytest.raises(ValueError, match="pair_weight=.*: must be one of balanced, uniform"):
        mp_nce_loss(image, text, scales, offsets, "mean")
    with pytest.raises(ValueError, match="denominator=.*: must be one of shared, domain"):
        mp_nce_loss(image, text, scales, offsets, denominator="own")
    with pytest.raises(ValueError, match="one sample has no negatives"):
        mp_nce_loss(image[:, :1], text[:, :1], scales, offsets)


@pytest.mark.parametrize("captions", [None, [0, 1, 0, 2, 1]])
@pytest.mark.parametrize("denominator", ["shared", "domain"])
@pytest.mark.parametrize("views", [(1, 1), (3, 1), (2, 2)])
def test_other_negatives(views, denominator, captions) -> None:
    inputs = _inputs(*views)
    ids = captions and torch.tensor([captions])
    ours = with_gradients(
        lambda *x: mp_nce_loss(*x, denominator=denominator, caption_ids=ids), *inputs
    )
    expected = with_gradients(lambda *x: mp_nce(*x, "balanced", denominator, captions), *inputs)
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)


def test_one_view_with_a_denominator_of_its_own_is_clip() -> None:
    image, text, scales, offsets = _inputs(1, 1)
    loss = mp_nce_loss(image, text, scales, offsets, denominator="domain")
    torch.testing.assert_close(loss, contrastive(image[0], text[0], scales[1]))


@pytest.mark.parametrize("denominator", ["shared", "domain"])
def test_a_batch_of_one_caption_has_nothing_to_learn(denominator) -> None:
    ids = torch.zeros(1, 5, dtype=torch.int64)
    (value,), gradients = with_gradients(
        lambda *x: mp_nce_loss(*x, denominator=denominator, caption_ids=ids), *_inputs(2, 1)
    )
    assert value == 0
    assert not any(gradient.any() for gradient in gradients)
