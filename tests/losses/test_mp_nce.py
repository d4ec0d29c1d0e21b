import pytest
import torch
from torch import Tensor

from cyclip_pl.losses.mp_nce import mp_nce_loss
from cyclip_pl.objectives.needs import Needs
from tests.helpers.embeddings import embeddings
from tests.losses.formulas import relative_error, with_gradients


def mp_nce(
    image: Tensor, text: Tensor, scales: Tensor, offsets: Tensor, pair_weight: str
) -> Tensor:
    """Pair by pair, in exponentials, as the paper writes it."""
    everything = [
        (modality, view, sample, views[view, sample])
        for modality, views in enumerate((image, text))
        for view in range(len(views))
        for sample in range(views.shape[1])
    ]

    def similarity(a, b):
        domain = a[0] + b[0]
        return (a[3].dot(b[3]) - offsets[domain]) * scales[domain]

    losses: dict[tuple[int, int], list[Tensor]] = {}
    for i in everything:
        negatives = [torch.exp(similarity(i, n)) for n in everything if n[2] != i[2]]
        for p in everything:
            if p[2] == i[2] and p is not i:
                positive = torch.exp(similarity(i, p))
                loss = -torch.log(positive / (positive + sum(negatives)))
                losses.setdefault((i[0], p[0]), []).append(loss)
    if pair_weight == "uniform":
        every = [loss for group in losses.values() for loss in group]
        return sum(every) / len(every)
    return sum(sum(group) / len(group) for group in losses.values()) / len(losses)


def _inputs(image_views, text_views, n=5):
    rows = embeddings(Needs(image_views, text_views), n=n)
    scales = torch.tensor([9.0, 14.0, 5.0], dtype=torch.float64)
    offsets = torch.tensor([0.3, -0.1, 0.2], dtype=torch.float64)
    return rows.image, rows.text, scales, offsets


@pytest.mark.parametrize("pair_weight", ["balanced", "uniform"])
@pytest.mark.parametrize("views", [(1, 1), (3, 1), (2, 2), (1, 3)])
def test_value_and_gradients_are_the_formulas(views, pair_weight):
    inputs = _inputs(*views)
    ours = with_gradients(lambda *x: mp_nce_loss(*x, pair_weight), *inputs)
    expected = with_gradients(lambda *x: mp_nce(*x, pair_weight), *inputs)
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)


def test_a_pair_that_is_won_keeps_a_gradient_where_exponentials_lose_it():
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


def test_a_common_offset_of_one_scale_cancels():
    image, text, _, _ = _inputs(3, 1)
    scales, offsets = torch.full((3,), 9.0).double(), torch.zeros(3).double()
    torch.testing.assert_close(
        mp_nce_loss(image, text, scales, offsets), mp_nce_loss(image, text, scales, offsets + 0.7)
    )


def test_bad_input_is_refused():
    image, text, scales, offsets = _inputs(2, 1)
    with pytest.raises(ValueError, match=r"must be \(V, n, D\) and \(U, n, D\)"):
        mp_nce_loss(image[0], text[0], scales, offsets)
    with pytest.raises(ValueError, match="pair_weight=.*: must be one of balanced, uniform"):
        mp_nce_loss(image, text, scales, offsets, "mean")
    with pytest.raises(ValueError, match="one sample has no negatives"):
        mp_nce_loss(image[:, :1], text[:, :1], scales, offsets)
