"""What all models have in common: what they take, where they compute, and how they classify."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from cyclip_pl import checks
from cyclip_pl.models.preprocess import Images, Preprocess

# Per pass, unless the caller says how many.
_IMAGES, _TEXTS = 64, 1024


class ImageTextModel(nn.Module, ABC):
    """Base of the models behind `Model` and `FeatureModel` of `cyclip_pl.types`.

    A subclass sets the attributes and implements the two abstract methods.

    It computes in the type of its weights, so `model.to("cuda", torch.bfloat16)` and
    `model.half()` work, and `model.compile()` compiles both towers. Embeddings are unit-norm rows,
    float32 at least.

    Only tensors (pixels, tokens) keep gradients, in the caller's grad mode. Images, paths and
    strings are encoded without.

    Attributes:
        preprocess: A PIL image or path → one tensor (3, H, W), a list of N → (N, 3, H, W).
        tokenizer: A string or N of them → int64 tokens (N, L).
        scale: Multiplier of the similarities, exp(logit_scale).
        bias: Added to scaled similarities before a sigmoid; None for models without one.
        embed_dim: Width D of the embeddings.
        image_size: Pixels of a side that it was made for; (height, width) if they differ.
    """

    preprocess: Preprocess
    tokenizer: Callable[[Sequence[str]], Tensor]
    scale: float
    bias: float | None = None
    embed_dim: int
    image_size: int | tuple[int, int]

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights, in which the towers compute."""
        return next(p.dtype for p in self.parameters() if p.is_floating_point())

    @property
    def logit_scale(self) -> Tensor:
        """The logarithm of `scale`, float32 without dimensions, as open_clip's models have it."""
        return torch.tensor(math.log(self.scale), device=self.device)

    def encode_image(self, images: Images, batch_size: int | None = None) -> Tensor:
        """Encode images as unit-norm rows (N, D), float32 at least.

        Args:
            images: Preprocessed, (N, 3, H, W) or one (3, H, W): uint8, or floats that are
                normalised. Or what `preprocess` takes: a PIL image, a path, a list of them.
            batch_size: Images per pass; None for all of a tensor, and for 64 of anything else.

        Raises:
            ValueError: An image that is missing, broken or of another type.
        """
        checks.whole("batch_size", batch_size, optional=True)
        if isinstance(images, Tensor):
            images = images[None] if images.ndim == 3 else images
            parts = images.split(batch_size or max(1, len(images)))
            return self._joined(self(images=part)[0] for part in parts)
        listed = list(images) if isinstance(images, list | tuple) else [images]
        pieces = _pieces(listed, batch_size or _IMAGES)
        with torch.no_grad():
            return self._joined(self(images=self.preprocess(piece))[0] for piece in pieces)

    def encode_text(
        self, texts: str | Sequence[str] | Tensor, batch_size: int | None = None
    ) -> Tensor:
        """Encode texts as unit-norm rows (N, D), float32 at least.

        Args:
            texts: N strings, or one; or int64 tokens (N, L), or of one text (L).
            batch_size: Texts per pass; None for all of a tensor, and for 1,024 of strings.
        """
        checks.whole("batch_size", batch_size, optional=True)
        if isinstance(texts, Tensor):
            texts = texts[None] if texts.ndim == 1 else texts
            parts = texts.split(batch_size or max(1, len(texts)))
            return self._joined(self(tokens=part)[1] for part in parts)
        listed = [texts] if isinstance(texts, str) else list(texts)
        pieces = _pieces(listed, batch_size or _TEXTS)
        with torch.no_grad():
            return self._joined(self(tokens=self.tokenizer(piece))[1] for piece in pieces)

    @torch.no_grad()
    def classify(
        self,
        images: Images,
        classnames: Sequence[str],
        templates: str | Sequence[str] | None = None,
        batch_size: int | None = None,
    ) -> Tensor:
        """Give the probability of each class for each image: rows (N, K) that sum to 1.

        It is the softmax over the classes of `scale` times the cosines. A bias, as SigLIP's, is
        the same for all classes and cancels.

            >>> probability_NK = model.classify([image], ["a red square", "a blue circle"])
            >>> tuple(probability_NK.shape)
            (1, 2)
            >>> model.classify([image], ["square", "circle"], templates="a drawing of a {c}").shape
            torch.Size([1, 2])

        Args:
            images: As of `encode_image`.
            classnames: K texts, one per class.
            templates: Prompts with `{c}` in place of a class name. Their embeddings are averaged
                per class, as in zero-shot evaluation. None: a class name is the text.
            batch_size: As of `encode_image`.

        Raises:
            ValueError: No class, or a template without `{c}`.
        """
        names = [classnames] if isinstance(classnames, str) else list(classnames)
        if not names:
            raise ValueError("classnames=[]: there is no class to choose; give one or more texts")
        class_KD = self._class_rows(names, templates)
        image_ND = self.encode_image(images, batch_size)
        return (self.scale * image_ND @ class_KD.T).softmax(dim=-1)

    def _class_rows(self, names: list[str], templates: str | Sequence[str] | None) -> Tensor:
        """One row per class: the normalised mean of its prompts' rows."""
        templates = ["{c}"] if templates is None else templates
        templates = [templates] if isinstance(templates, str) else list(templates)
        if not templates or not all("{c}" in template for template in templates):
            raise ValueError(
                f"templates={templates}: must be prompts with {{c}} in place of the class name"
            )
        prompts = [template.replace("{c}", name) for name in names for template in templates]
        prompt_PD = self.encode_text(prompts)
        return normalize(prompt_PD.unflatten(0, (len(names), -1)).mean(1), dim=-1)

    def forward(
        self, images: Tensor | None = None, tokens: Tensor | None = None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Encode preprocessed images (N, 3, H, W), tokens (M, L) or both: their rows, or None."""
        return (
            None if images is None else self.encode_image_and_features(images)[0],
            None if tokens is None else self.encode_tokens(tokens.to(self.device)),
        )

    @abstractmethod
    def encode_image_and_features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Unit-norm rows (N, D) of images, and their features (N, F), not normalised.

        Args:
            images: Preprocessed, (N, 3, H, W), on any device.
        """

    @abstractmethod
    def encode_tokens(self, tokens: Tensor) -> Tensor:
        """Tokens (N, L) on the model's device → unit-norm rows (N, D)."""

    def placed(self, images: Tensor) -> Tensor:
        """Images on the model's device; floats in the type of its weights."""
        images = images.to(self.device)
        return images.to(self.dtype) if images.is_floating_point() else images

    def _joined(self, parts: Iterable[Tensor]) -> Tensor:
        rows = list(parts)
        if not rows:
            return torch.empty(0, self.embed_dim, device=self.device)
        return rows[0] if len(rows) == 1 else torch.cat(rows)

    def __repr__(self) -> str:
        count = sum(parameter.numel() for parameter in self.parameters())
        dtype = str(self.dtype).removeprefix("torch.")
        return (
            f"{type(self).__name__}(image_size={self.image_size}, embed_dim={self.embed_dim},"
            f" scale={self.scale:.4g}, {count:,} parameters, {dtype}, {self.device})"
        )


def _pieces(listed: list, size: int) -> list[list]:
    return [listed[start : start + size] for start in range(0, len(listed), size)]
