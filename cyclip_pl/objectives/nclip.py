"""nCLIP: image and text agree on clusters, without negatives."""

from __future__ import annotations

import torch
from torch import Tensor

from cyclip_pl import checks
from cyclip_pl.losses.clusters import cluster_cross_entropy, entropy_of_mean, mean_entropy
from cyclip_pl.objectives.base import Objective
from cyclip_pl.objectives.needs import Needs
from cyclip_pl.types import Embeddings


class NCLIP(Objective):
    """Zhou et al., arXiv 2210.09304.

    total = ½[CE(p,q) + CE(q,p)] + λ_sharpness · ½[H(p) + H(q)] − λ_smoothness · ½[H(p̄) + H(q̄)].
    H(p) is the mean entropy over the global batch, and p̄ the mean of p over it. The temperature and
    K are the projector's.

    That each modality is the pseudo-label of the other, and that both entropy terms exist, is the
    paper's. The form of the terms, both weights and `stop_gradient` are *our choice*.

    Why these weights: near uniform distributions, to first order, what both modalities share grows
    at the rate λ_sharpness/2. What only one of them has decays at (1 − λ_sharpness)/2, so
    λ_sharpness belongs between 0 and 1. What all samples share decays if λ_smoothness exceeds
    λ_sharpness. This needs distributions that are soft at the start (`projector.temperature`).

    Args:
        lambda_sharpness: At least 0: weight of the mean entropy, makes each assignment certain.
        lambda_smoothness: At least 0: weight of the entropy of the mean, keeps all clusters in use.
        stop_gradient: Whether each distribution is a fixed target for the other.
    """

    needs = Needs(heads=frozenset({"clusters"}))

    def __init__(
        self,
        lambda_sharpness: float = 0.8,
        lambda_smoothness: float = 2.0,
        stop_gradient: bool = True,
    ) -> None:
        super().__init__()
        checks.number("objective.lambda_sharpness", lambda_sharpness, least=0)
        checks.number("objective.lambda_smoothness", lambda_smoothness, least=0)
        self.lambda_sharpness = lambda_sharpness
        self.lambda_smoothness = lambda_smoothness
        self.stop_gradient = stop_gradient

    def forward(self, embeddings: Embeddings) -> dict[str, Tensor]:
        """Log-probabilities (V, n, K) and (U, n, K) → total, its terms and two metrics.

        The terms are `cross_entropy`, `entropy` H(p) and `entropy_of_mean` H(p̄), in nats and as
        means of both modalities. `effective_clusters` is exp(H(p̄)). `cluster_information` is
        H(p̄) − H(p), the nats of information that a cluster carries about its sample: zero after a
        collapse, whether to one cluster or to the uniform distribution.
        """
        image, text = embeddings.image_clusters, embeddings.text_clusters
        assert image is not None and text is not None
        cross_entropy = torch.stack(
            [cluster_cross_entropy(p, q, self.stop_gradient) for p in image for q in text]
        ).mean()
        entropy, of_mean = (
            torch.stack(
                [torch.stack([f(view) for view in views]).mean() for views in (image, text)]
            )
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
