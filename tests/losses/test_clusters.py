import math

import pytest
import torch

from cyclip_pl.losses.clusters import cluster_cross_entropy, entropy_of_mean, mean_entropy
from tests.helpers.formulas import cluster_terms, with_gradients


def _log_probabilities(n, k, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(2, n, k, dtype=torch.float64, generator=generator) * 3
    return list(scores.log_softmax(-1))


@pytest.mark.parametrize("stop_gradient", [True, False])
@pytest.mark.parametrize(("n", "k"), [(1, 2), (6, 4), (3, 9)])
def test_values_and_gradients_are_the_formulas(n, k, stop_gradient) -> None:
    def ours(p, q):
        return (
            cluster_cross_entropy(p, q, stop_gradient),
            (mean_entropy(p) + mean_entropy(q)) / 2,
            (entropy_of_mean(p) + entropy_of_mean(q)) / 2,
        )

    def theirs(p, q):
        return cluster_terms(p, q, stop_gradient)

    rows = _log_probabilities(n, k, seed=n)
    torch.testing.assert_close(with_gradients(ours, *rows), with_gradients(theirs, *rows))


def test_probabilities_of_zero_have_a_gradient() -> None:
    # exp(-200) is zero in float32.
    log_p = torch.tensor([[0.0, -200.0], [-1e-4, -9.2103]], requires_grad=True)
    (mean_entropy(log_p) + entropy_of_mean(log_p)).backward()
    assert torch.isfinite(log_p.grad).all()
    alone = torch.tensor([[0.0, -200.0]], requires_grad=True)
    entropy_of_mean(alone).backward()
    assert torch.isfinite(alone.grad).all()


def test_entropies_at_their_bounds() -> None:
    uniform = torch.zeros(5, 8).log_softmax(-1)
    torch.testing.assert_close(mean_entropy(uniform), torch.tensor(math.log(8)))
    torch.testing.assert_close(entropy_of_mean(uniform), torch.tensor(math.log(8)))
    sharp = (torch.eye(8) * 100).log_softmax(-1)
    assert mean_entropy(sharp) < 1e-6
    torch.testing.assert_close(entropy_of_mean(sharp), torch.tensor(math.log(8)))
