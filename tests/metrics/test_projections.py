from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from cyclip_pl.metrics import projections
from cyclip_pl.metrics.projections import JointPCA, SimilarityHistogram, project
from tests.helpers.formulas import unit_rows


def similarity_histograms(
    image: Tensor, text: Tensor, image_group: Tensor, text_group: Tensor, bins: int, size: int = 5
) -> tuple[Tensor, Tensor]:
    histogram = SimilarityHistogram(bins)
    for rows in torch.arange(len(image)).split(size):
        histogram.update(image[rows], text, image_group[rows], text_group)
    found = histogram.compute()
    return found["true"], found["other"]


def joint_pca(image: Tensor, text: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    pca = JointPCA(image.shape[1])
    for rows in torch.arange(len(image)).split(7):
        pca.update(image[rows], text if 0 in rows else text[:0])
    found = pca.compute()
    return project(image, found), project(text, found), found["share"]


@pytest.mark.parametrize("rows", [1, 5, 1024])
def test_histograms_equal_loops(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projections, "_ROWS", rows)
    image, text = unit_rows(13, 4, seed=0)[0], unit_rows(9, 4, seed=1)[1]
    text[4] = text[2]
    image_group = torch.arange(13) % 5  # several images of a group, groups without an image
    text_group = torch.arange(9)
    expected = [[0] * 7, [0] * 7]
    for i, image_row in enumerate(image.tolist()):
        for j, text_row in enumerate(text.tolist()):
            cosine = sum(a * b for a, b in zip(image_row, text_row, strict=True))
            b = next(b for b in range(7) if b == 6 or cosine < -1 + 2 * (b + 1) / 7)
            expected[image_group[i].item() != text_group[j].item()][b] += 1
    true, other = similarity_histograms(image, text, image_group, text_group, 7)
    assert [true.tolist(), other.tolist()] == expected


def test_histograms_at_the_edges() -> None:
    image = torch.tensor([[1.0, 0], [-1, 0], [0, 1], [torch.nan, 0]])
    pair = torch.arange(4)
    true, other = similarity_histograms(image, torch.tensor([[1.0, 0]]), pair, pair[:1], 4)
    assert true.tolist() == [0, 0, 0, 1]
    assert other.tolist() == [1, 0, 1, 0]


def test_pca_keeps_the_variance_of_an_independent_decomposition() -> None:
    image, text = unit_rows(30, 6, seed=2)[0], unit_rows(20, 6, seed=3)[1]
    image_2, text_2, share = joint_pca(image, text)
    both = torch.cat([image, text])
    u, s, _ = torch.linalg.svd(both - both.mean(0), full_matrices=False)
    points = torch.cat([image_2, text_2])
    torch.testing.assert_close(points.abs(), (u[:, :2] * s[:2]).abs())
    torch.testing.assert_close(share, s[:2].square() / s.square().sum())
    assert points.mean(0).abs().max() < 1e-12


def test_pca_of_points_on_a_line_by_hand() -> None:
    # Along (3, 4) / 5: the largest loading is the second one, and positive.
    image = torch.tensor([[3.0, 4], [-3, -4]])
    text = torch.tensor([[6.0, 8], [-6, -8]])
    image_2, text_2, share = joint_pca(image, text)
    assert image_2[:, 0].tolist() == pytest.approx([5, -5])
    assert text_2[:, 0].tolist() == pytest.approx([10, -10])
    assert share.tolist() == pytest.approx([1, 0])


def test_the_sign_does_not_follow_the_order_of_rows() -> None:
    generator = torch.Generator().manual_seed(4)
    image, text = (normalize(torch.randn(40, 8, generator=generator), dim=1) for _ in range(2))
    image_2, text_2, _ = joint_pca(image, text)
    flipped_image, flipped_text, _ = joint_pca(image.flip(0), text.flip(0))
    torch.testing.assert_close(flipped_image.flip(0), image_2)
    torch.testing.assert_close(flipped_text.flip(0), text_2)


def test_rows_that_do_not_vary_and_rows_that_cannot() -> None:
    one = torch.ones(5, 3)
    image_2, text_2, share = joint_pca(one, one)
    assert image_2.abs().max() < 1e-12 and text_2.abs().max() < 1e-12
    assert share.tolist() == [0, 0]
    assert joint_pca(one * torch.nan, one)[0].isnan().all()
    with pytest.raises(ValueError, match="two or more"):
        joint_pca(one[:, :1], one[:, :1])
