"""Zero-shot classification: top-k accuracy and macro recall over the classes of a set."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence

from cyclip_pl.distributed import rank
from cyclip_pl.evaluation import templates as prompt_templates
from cyclip_pl.evaluation.accuracy import ClassAccuracy
from cyclip_pl.evaluation.classifier import Classifier, class_embeddings
from cyclip_pl.evaluation.datasets import ClassificationSet
from cyclip_pl.evaluation.encode import device_of, encode_images
from cyclip_pl.evaluation.modes import evaluation_mode
from cyclip_pl.evaluation.protocol import named_folders
from cyclip_pl.types import Model

logger = logging.getLogger(__name__)


def zero_shot(
    model: Model,
    dataset: ClassificationSet,
    classifier: Classifier,
    top_k: Sequence[int] = (1, 3, 5),
    batch_size: int = 256,
    workers: int = 0,
) -> dict[str, float]:
    """Classify every image of a set by its nearest class embedding.

    Returns:
        `top<k>` and `macro_recall` (the mean over classes that have images), fractions of the
        images that could be decoded; `samples` of those, `classes` in all, and `skipped`, the
        images that could not. A k above the number of classes is left out: it says nothing.
        Equal on all ranks, and equal to those of one process.

    Raises:
        ValueError: No image of the set can be decoded.
    """
    classes = len(dataset.classnames)
    accuracy = ClassAccuracy(classes, [k for k in top_k if k <= classes]).to(device_of(model))
    for image_ND, index_N in encode_images(model, dataset, batch_size, workers):
        label_N = dataset.label_N[index_N].to(image_ND.device)
        accuracy.update(classifier(image_ND), label_N)
    computed = accuracy.compute()
    samples = int(computed.pop("samples"))
    skipped = len(dataset) - samples
    if not samples:
        raise ValueError(f"{dataset.folder}: none of its {skipped} images can be decoded")
    if skipped and rank() == 0:
        logger.warning("%s: %d of %d images left out", dataset.name, skipped, len(dataset))
    return {
        **{name: float(value) for name, value in computed.items()},
        "samples": samples,
        "classes": classes,
        "skipped": skipped,
    }


class ZeroShot:
    """Zero-shot classification of several sets.

    Args:
        datasets: Folders in the layout of `evaluation.datasets`, or names with folders.
        split: The split to classify.
        templates: Prompts: null for each set's own, `openai`, `simple`, or a list with `{c}`.
        top_k: The k's of the accuracies.
        batch_size: Images, and prompts, encoded at once.
        workers: Processes that decode images; 0 decodes in this one.
        name: Its name in the configuration and in its figures.

    Raises:
        ValueError: One line that names the setting.
    """

    def __init__(
        self,
        datasets: Mapping[str, str] | Sequence[str | Mapping[str, str]],
        split: str = "test",
        templates: str | Sequence[str] | None = None,
        top_k: Sequence[int] = (1, 3, 5),
        batch_size: int = 256,
        workers: int = 0,
        name: str = "zero_shot",
    ) -> None:
        def at_least(least: int, setting: str, value: object) -> None:
            if type(value) is not int or value < least:
                raise ValueError(
                    f"evaluation.{name}.{setting} must be a whole number of at least {least}; "
                    f"got {value!r}"
                )

        self.name = name
        self.folders = named_folders(datasets, f"evaluation.{name}.datasets")
        self.split = split
        self._setting = f"evaluation.{name}.templates"
        self.templates = prompt_templates.resolve(templates, self._setting)
        if isinstance(top_k, str) or not isinstance(top_k, Sequence) or not top_k:
            raise ValueError(f"evaluation.{name}.top_k must be a list of numbers; got {top_k!r}")
        for k in top_k:
            at_least(1, "top_k", k)
        at_least(1, "batch_size", batch_size)
        at_least(0, "workers", workers)
        self.top_k = tuple(dict.fromkeys(top_k))
        self.batch_size = batch_size
        self.workers = workers
        self._sets: list[ClassificationSet] | None = None

    def open(self) -> None:
        """Read the names, labels and places of all sets, once.

        Raises:
            ValueError: One line that names the setting and the file.
        """
        if self._sets is not None:
            return
        try:
            sets = [ClassificationSet(path, self.split, n) for n, path in self.folders.items()]
        except ValueError as error:
            raise ValueError(f"evaluation.{self.name}.datasets: {error}") from error
        for dataset in sets:
            self._prompts(dataset)
            if rank() == 0:
                _say_what_is_odd(dataset, self.top_k)
        self._sets = sets

    def __call__(self, model: Model) -> dict[str, float]:
        """Figures of `zero_shot` by `<dataset>/<name>/<figure>`; all ranks enter together."""
        self.open()
        assert self._sets is not None
        figures: dict[str, float] = {}
        # Several sets of one study have the same classes and prompts: encode these once.
        classifiers: dict[tuple[tuple[str, ...], tuple[str, ...]], Classifier] = {}
        with evaluation_mode(model):
            for dataset in self._sets:
                templates = self._prompts(dataset)
                key = (tuple(dataset.classnames), tuple(templates))
                if key not in classifiers:
                    classifiers[key] = class_embeddings(
                        model, dataset.classnames, templates, self.batch_size
                    )
                of_set = zero_shot(
                    model, dataset, classifiers[key], self.top_k, self.batch_size, self.workers
                )
                for figure, value in of_set.items():
                    figures[f"{dataset.name}/{self.name}/{figure}"] = value
        return figures

    def _prompts(self, dataset: ClassificationSet) -> list[str]:
        return self.templates or prompt_templates.own(dataset, self._setting)


def _say_what_is_odd(dataset: ClassificationSet, top_k: Sequence[int]) -> None:
    classes = len(dataset.classnames)
    repeated = [name for name, n in Counter(dataset.classnames).items() if n > 1]
    if repeated:
        more = f" and {len(repeated) - 3} more" if len(repeated) > 3 else ""
        logger.warning(
            "%s: several classes are called %s%s; their scores are equal, the first wins",
            dataset.name,
            ", ".join(repr(name) for name in repeated[:3]),
            more,
        )
    if left_out := [k for k in top_k if k > classes]:
        logger.warning(
            "%s: no %s, it has %d classes",
            dataset.name,
            ", ".join(f"top{k}" for k in left_out),
            classes,
        )
