"""An encoder and a projector as evaluations, users and exports see them."""

from __future__ import annotations

from torch import Tensor

from cyclip_pl.data.views.evaluation import evaluation_transform
from cyclip_pl.encoders.dual import DualEncoder
from cyclip_pl.models.base import ImageTextModel
from cyclip_pl.models.preprocess import Preprocess
from cyclip_pl.projectors.base import Projector


class EmbeddingModel(ImageTextModel):
    """The model that training makes.

    Images are uint8 (N, 3, H, W), as `preprocess` gives them, or floats that are normalised.

    Args:
        encoder, projector: Trained together; shared, not copied.
        scale: Multiplier of the similarities, exp(logit_scale).
        bias: Added to scaled similarities before a sigmoid; None for objectives without one.
    """

    def __init__(
        self,
        encoder: DualEncoder,
        projector: Projector,
        scale: float = 1.0,
        bias: float | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = projector
        self.scale = scale
        self.bias = bias
        self.embed_dim = projector.embed_dim
        self.image_size = encoder.image_size
        self.tokenizer = encoder.tokenizer
        # The shorter side resized bicubically, centre crop, uint8.
        self.preprocess = Preprocess(evaluation_transform(encoder.image_size))

    def encode_image_and_features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.encoder.encode_image(self.placed(images))
        return self.projector.project_image(features), features

    def encode_tokens(self, tokens: Tensor) -> Tensor:
        return self.projector.project_text(self.encoder.encode_text(tokens))
