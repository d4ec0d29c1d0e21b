"""Linear probes of frozen features: full and few-shot."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, stdev

from torch import Tensor

from cyclip_pl import checks
from cyclip_pl.evaluation.features.rows import double_device, rows_of, what_rows
from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.probes.adamw_probe import adamw_probe
from cyclip_pl.evaluation.probes.lbfgs_probe import searched_lbfgs_probe
from cyclip_pl.evaluation.probes.linear_classifier import METRICS
from cyclip_pl.evaluation.probes.row_splits import few_shot
from cyclip_pl.evaluation.results import Results
from cyclip_pl.evaluation.sets.library import Library, TrainTest
from cyclip_pl.evaluation.sets.setting import Sets, named_sets
from cyclip_pl.metrics.bootstrap import PROTOCOL, with_intervals

PROTOCOLS = ("adamw", "lbfgs")


class LinearProbe:
    """One linear layer on frozen features, by two protocols.

    It sees the encoder's features, not normalised, or the embeddings where the model gives no
    features. Figures of a set, each of `metrics`:

    - `adamw_<metric>`: CyCLIP's protocol, see `adamw_probe`;
    - `lbfgs_<metric>`: logistic regression, see `searched_lbfgs_probe`; `lbfgs_l2`, what its
      search found;
    - `lbfgs_<shots>_shot_<metric>`: the same on so many images of each class, or all that a class
      has: the mean over the seeds, and `..._std`, their standard deviation if there are several;
    - `samples`, and `train_samples`, the images of either split that could be decoded.

    `adamw_accuracy` and `lbfgs_accuracy` have their bounds, `..._low` and `..._high` of
    `bootstrap`: what another test set of this size would change, not another seed.

    Args:
        datasets: Sets, see `open_labelled`, or names with sets.
        split: The split to classify.
        train_split: The split of labelled training images beside it.
        protocols: Of `PROTOCOLS`.
        shots: Of the few-shot probes, 2 or more; empty for none. They are fitted by L-BFGS.
        seeds: Of the few-shot subsets and what is held out of them. The first is the full probes'.
        metric: What the search for the regularisation makes the highest, `accuracy` or
            `mean_per_class`; None for each set's own.
        val_split: Where a set has this split, the full L-BFGS probe searches on it, and is then
            fitted on it and the training split together, as in CLIP (arXiv 2103.00020, appendix
            A.3); elsewhere a part of the training split is held out. None for nowhere.
        name: Its name in the configuration and in its figures.
        library: Where its sets come from; one of its own if None.

    Raises:
        ValueError: One line that names the setting.
    """

    needs_features = True

    def __init__(
        self,
        datasets: Sets,
        split: str = "test",
        train_split: str = "train",
        protocols: Sequence[str] = PROTOCOLS,
        shots: Sequence[int] = (5, 20, 50),
        seeds: Sequence[int] = (0, 1, 2),
        metric: str | None = None,
        val_split: str | None = "val",
        name: str = "linear_probe",
        library: Library | None = None,
    ) -> None:
        self.name = name
        self.library = library or Library()
        self.specs = named_sets(datasets, f"evaluation.{name}.datasets")
        self.split = split
        self.train_split = train_split
        if isinstance(protocols, str) or not set(protocols) <= set(PROTOCOLS):
            raise ValueError(
                f"evaluation.{name}.protocols must be a list of {', '.join(PROTOCOLS)}; "
                f"got {protocols!r}"
            )
        self.protocols = tuple(protocols)
        self.shots = checks.whole_numbers(f"evaluation.{name}.shots", shots) if shots else ()
        if 1 in self.shots:
            raise ValueError(
                f"evaluation.{name}.shots must be 2 or more: one of them is held out to choose "
                "the regularisation by"
            )
        if (
            isinstance(seeds, str)
            or not isinstance(seeds, Sequence)
            or not seeds
            or any(type(seed) is not int or seed < 0 for seed in seeds)
        ):
            raise ValueError(
                f"evaluation.{name}.seeds must be a list of whole numbers of at least 0; "
                f"got {seeds!r}"
            )
        self.seeds = tuple(dict.fromkeys(seeds))
        if metric is not None and metric not in METRICS:
            raise ValueError(
                f"evaluation.{name}.metric must be null or one of {', '.join(METRICS)}; "
                f"got {metric!r}"
            )
        self.metric = metric
        self.val_split = val_split
        self._sets: list[TrainTest] | None = None

    def open(self) -> None:
        """Read the names, labels and places of all sets, once.

        Raises:
            ValueError: One line that names the setting and the file.
        """
        if self._sets is None:
            setting = f"evaluation.{self.name}.datasets"
            self._sets = self.library.splits(
                self.specs, self.train_split, self.split, setting, self.val_split
            )

    def __call__(self, store: FeatureStore) -> Results:
        """All ranks enter together, and each fits the same probes.

        Raises:
            ValueError: No image of a split can be decoded, or a set has no class of two training
                images, of which one could be held out.
        """
        self.open()
        assert self._sets is not None
        results = Results()
        for both in self._sets:
            try:
                self._add(results, both, store)
            except ValueError as error:
                raise ValueError(f"evaluation.{self.name}: {both.test.name}: {error}") from error
        return results

    def _add(self, results: Results, both: TrainTest, store: FeatureStore) -> None:
        images = store.images(both.test, features=True)
        train = store.images(both.train, features=True)
        train_MF, test_NF = (rows_of(x).to(double_device(store)) for x in (train, images))
        classes = len(both.test.classnames)
        metric = self.metric or both.test.metric
        validation = None
        if both.val is not None and "lbfgs" in self.protocols:
            val = store.images(both.val, features=True)
            validation = rows_of(val).to(double_device(store)), val.label_N

        def lbfgs(
            rows: Tensor | slice, seed: int, validation: tuple[Tensor, Tensor] | None = None
        ) -> tuple[Tensor, float]:
            probe, l2 = searched_lbfgs_probe(
                train_MF[rows],
                train.label_N[rows],
                classes,
                seed,
                metric=METRICS[metric],
                validation=validation,
            )
            return probe.predict(test_NF), l2

        def scores(prediction_N: Tensor) -> dict[str, float]:
            return {name: score(prediction_N, images.label_N) for name, score in METRICS.items()}

        figures: dict[str, float] = {}
        predictions: dict[str, Tensor] = {}
        if "adamw" in self.protocols:
            probe = adamw_probe(train_MF, train.label_N, classes, self.seeds[0])
            predictions["adamw"] = probe.predict(test_NF)
        if "lbfgs" in self.protocols:
            predictions["lbfgs"], figures["lbfgs_l2"] = lbfgs(
                slice(None), self.seeds[0], validation
            )
        for protocol, prediction_N in predictions.items():
            of_protocol = {f"{protocol}_{name}": v for name, v in scores(prediction_N).items()}
            right = {f"{protocol}_acc1": prediction_N == images.label_N}
            figures.update(with_intervals(of_protocol, right))
        l2_of_shots: dict[str, list[float]] = {}
        for shots in self.shots:
            found = []
            for seed in self.seeds:
                rows = few_shot(train.label_N, shots, seed)
                prediction_N, l2 = lbfgs(rows, seed)
                found.append(scores(prediction_N))
                l2_of_shots.setdefault(str(shots), []).append(l2)
            for name in METRICS:
                values = [of_seed[name] for of_seed in found]
                figures[f"lbfgs_{shots}_shot_{name}"] = mean(values)
                if len(values) > 1:
                    figures[f"lbfgs_{shots}_shot_{name}_std"] = stdev(values)
        results.add(
            both.test.name,
            self.name,
            figures={**figures, "samples": len(images), "train_samples": len(train)},
            details={
                "protocol": {
                    "split": self.split,
                    "train_split": self.train_split,
                    "rows": what_rows(images),
                    "seeds": list(self.seeds),
                    "metric": metric,
                    "search": "a part of each class" if validation is None else self.val_split,
                    "interval": PROTOCOL,
                },
                "l2_of_shots": l2_of_shots,
            },
            predictions={
                "index": images.index_N.tolist(),
                "key": [both.test.key(index) for index in images.index_N.tolist()],
                "label": images.label_N.tolist(),
                **{protocol: class_N.tolist() for protocol, class_N in predictions.items()},
            },
        )
