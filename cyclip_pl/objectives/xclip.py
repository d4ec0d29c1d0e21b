"""xCLIP: CLIP and nCLIP, each on its own head."""

from __future__ import annotations

from cyclip_pl import checks
from cyclip_pl.objectives.clip import CLIP
from cyclip_pl.objectives.composite import Composite
from cyclip_pl.objectives.nclip import NCLIP


class XCLIP(Composite):
    """Zhou et al., arXiv 2210.09304: weight_clip · CLIP + weight_nclip · nCLIP.

    0.3 and 0.7 are what one reader reports of the paper: *our choice*.

    Args:
        weight_clip, weight_nclip: Of the two objectives, at least 0.
        lambda_sharpness, lambda_smoothness, stop_gradient: See `NCLIP`.
        init_scale, max_scale: See `ScaledObjective`.
    """

    def __init__(
        self,
        weight_clip: float = 0.3,
        weight_nclip: float = 0.7,
        lambda_sharpness: float = 0.8,
        lambda_smoothness: float = 2.0,
        stop_gradient: bool = True,
        init_scale: float | None = None,
        max_scale: float = 100.0,
    ) -> None:
        checks.number("objective.weight_clip", weight_clip, least=0)
        checks.number("objective.weight_nclip", weight_nclip, least=0)
        super().__init__(
            {
                "clip": CLIP(init_scale=init_scale, max_scale=max_scale),
                "nclip": NCLIP(lambda_sharpness, lambda_smoothness, stop_gradient),
            },
            {"clip": weight_clip, "nclip": weight_nclip},
        )
