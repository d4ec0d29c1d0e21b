"""nCLIP: the modalities agree on clusters, without negatives."""

from __future__ import annotations

import torch
from torch import Tensor

from cyclip_pl.losses.clusters import cluster_cross_entropy, entropy_of_mean, mean_entropy
from cyclip_pl.objectives.base import Objective
from cyclip_pl.objectives.needs import Needs
from cyclip_pl.types import Embeddings


class NCLIP(Objective):
    """Zhou et al., arXiv 2210.09304.

    total = ½[CE(p,q) + CE(q,p)] + λ_sharpness · ½[H(p) + H(q)] − λ_smoothness · ½[H(p̄) + H(q̄)],
    the entropies H(p) means over the global batch and p̄ the mean of p over it. With several views
    each term is the mean over the pairs of an image view and a text view. The temperature and K
    are the projector's.

    Why the defaults: near uniform distributions, in their first-order terms, what both modalities
    share grows at λ_sharpness/2 and what only one of them has decays at (1 − λ_sharpness)/2, so the
    weight belongs between 0 and 1; what all samples share decays if λ_smoothness exceeds
    λ_sharpness. So the distributions have to begin soft (`projector.temperature`).

    Args:
        lambda_sharpness: weight of the mean entropy; what makes each assignment certain.
        lambda_smoothness: weight of the entropy of the mean; what keeps all clusters in use.
        stop_gradient: each distribution is a fixed target for the other.

    Raises:
        ValueError: a negative weight.
    """

    needs = Needs(heads=frozenset({"clusters"}))

    def __init__(
        self,
        lambda_sharpness: float = 0.8,
        lambda_smoothness: float = 2.0,
        stop_gradient: bool = True,
    ) -> None:
        super().__init__()
        for name, value in (
            ("lambda_sharpness", lambda_sharpness),
            ("lambda_smoothness", lambda_smoothness),
        ):
            if value < 0:
                raise ValueError(f"objective.{name} must be at least 0, got {value}")
        self.lambda_sharpness = lambda_sharpness
        self.lambda_smoothness = lambda_smoothness
        self.stop_gradient = stop_gradient

    def forward(self, embeddings: Embeddings) -> dict[str, Tensor]:
        """Log-probabilities (V, n, K) and (U, n, K) → total, its terms and two readings.

        `cross_entropy`, `entropy` (H(p), both modalities' mean), `entropy_of_mean` (H(p̄)),
        `effective_clusters` exp(H(p̄)), and `cluster_information` H(p̄) − H(p), the nats that a
        cluster says of its sample: zero after any collapse, to one cluster or to the uniform.
        """
        assert embeddings.image_clusters is not None and embeddings.text_clusters is not None
        modalities = (embeddings.image_clusters, embeddings.text_clusters)
        cross_entropy = torch.stack(
            [cluster_cross_entropy(p, q, self.stop_gradient) for p, q in embeddings.cluster_pairs()]
        ).mean()
        entropy, of_mean = (
            torch.stack([torch.stack([f(view) for view in views]).mean() for views in modalities])
            for f in (mean_entropy, entropy_of_mean)
        )
        sharpness, smoothness = entropy.mean(), of_mean.mean()
        return {
            "total": cross_entropy
            + self.lambda_sharpness * sharpness
            - self.lambda_smoothness * smoothness,
            "cross_entropy": cross_entropy,
            "entropy": sharpness,
            "entropy_of_mean": smoothness,
            "effective_clusters": of_mean.exp().mean(),
            "cluster_information": smoothness - sharpness,
        }
