"""What plots draw on their axes, and their PNG files."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from cyclip_pl.reports import canvas, compare
from cyclip_pl.reports.canvas import look
from cyclip_pl.reports.compare import draw
from cyclip_pl.reports.plots import (
    consistency,
    curves,
    geometry,
    hierarchy,
    matrix,
    paired,
    pca,
    robustness,
    similarity,
)
from cyclip_pl.reports.run_marks import run_colour, run_marker
from cyclip_pl.reports.runs import Run, read_runs
from tests.helpers.run_folders import plausible_run, write_run

PLOTS = compare._PLOTS


@pytest.fixture(scope="module")
def runs(two_runs: list[Path]) -> list[Run]:
    return read_runs(two_runs)


def drawn(plot: ModuleType, runs: list[Run]) -> list[Figure]:
    with look():
        return list(plot.draw(runs))


def series(axes) -> list[np.ndarray]:
    """What lines with markers show, (points, 2) each: error bars and baselines have no marker."""
    return [line.get_xydata() for line in axes.lines if line.get_marker() != "None"]


def bars(axes) -> list[np.ndarray]:
    return [line.get_xydata() for line in axes.lines if line.get_marker() == "None"]


def test_consistency_is_one_line_per_run_with_intervals(runs: list[Run]) -> None:
    (figure,) = drawn(consistency, runs)
    birds, cars = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["birds", "cars"]
    assert len(series(cars)) == 1
    for gain, line in zip((0, 0.1), series(birds), strict=True):
        assert line[:, 0] == pytest.approx([1, 3, 10], rel=0.02)
        assert line[:, 1] == pytest.approx([100 * (0.4 + gain + 0.01 * k) for k in (1, 3, 10)])
    ends = {tuple(np.round(bar[:, 1], 6)) for bar in bars(birds)}
    assert (39.0, 44.0) in ends and (49.0, 54.0) in ends and len(ends) == 6
    assert [text.get_text() for text in birds.get_xticklabels()] == ["1", "3", "10"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["low", "high"]
    assert "%" in figure.get_supylabel()


def test_hierarchy_is_fine_against_coarse(runs: list[Run]) -> None:
    (figure,) = drawn(hierarchy, runs)
    points = np.concatenate(series(figure.axes[0]))
    assert points == pytest.approx(np.array([[50, 60], [60, 65]]))
    assert "coarse" in figure.get_supxlabel() and "fine" in figure.get_supylabel()
    assert [b.tolist() for b in map(np.round, bars(figure.axes[0]))][:2] == [
        [[48, 60], [53, 60]],
        [[50, 58], [50, 63]],
    ]


def test_robustness_has_the_baseline_under_the_points(runs: list[Run]) -> None:
    (figure,) = drawn(robustness, runs)
    (axes,) = figure.axes
    assert axes.get_title() == "drawings"  # the in-distribution set and their mean have no panel
    assert np.concatenate(series(axes)) == pytest.approx(np.array([[50, 30], [60, 40]]))
    (line,) = [bar for bar in bars(axes) if len(bar) > 2]
    assert line[:, 1] == pytest.approx(0.8 * line[:, 0] - 10)
    assert line[0, 0] < 50 and line[-1, 0] > 60
    assert figure.get_supxlabel() == "accuracy on photos (%)"


def test_a_logit_baseline_is_a_curve() -> None:
    x = np.array([0.0, 0.1, 0.5, 0.9, 1.0])
    y = robustness.Line(1.5, -0.3, "logit")(x)
    inner = np.log(y[1:4] / (1 - y[1:4]))
    assert inner == pytest.approx(1.5 * np.log(x[1:4] / (1 - x[1:4])) - 0.3)
    assert 0 <= y[0] < 1e-6 and 1 - 1e-6 < y[4] <= 1
    steep = robustness.Line(9e5, 9e5, "logit")(x)
    assert np.isfinite(steep).all()


def test_robustness_without_details_has_no_line(tmp_path: Path) -> None:
    metrics = {"a/robustness/acc1": 0.0, "a/robustness/mean_acc1": 0.0}
    metrics |= {"b/robustness/acc1": 0.0, "b/robustness/drop": float("nan")}
    (figure,) = drawn(robustness, read_runs([write_run(tmp_path / "r", metrics)]))
    assert [len(bar) for bar in bars(figure.axes[0])] == [2, 2]


def test_similarities_are_densities(runs: list[Run]) -> None:
    (figure,) = drawn(similarity, runs)
    assert len(figure.axes) == 4  # runs down, data sets across
    patches = figure.axes[0].patches
    assert len(patches) == 2
    for patch, counts in zip(patches, ([50, 40, 10, 0], [0, 1, 4, 3]), strict=True):
        values, edges, _ = patch.get_data()
        assert edges.tolist() == [-1, -0.5, 0, 0.5, 1]
        assert values == pytest.approx(np.array(counts) / sum(counts) / 0.5)
        assert (values * 0.5).sum() == pytest.approx(1)
    assert not figure.axes[3].patches  # the second run has no cars
    assert [text.get_text() for text in figure.axes[3].texts] == ["–"]


def test_pca_is_of_both_modalities(runs: list[Run]) -> None:
    (figure,) = drawn(pca, runs)
    wanted = json.loads((runs[0].folder / "details/birds_geometry.json").read_text())["pca"]
    image, text = figure.axes[0].collections
    assert image.get_offsets().tolist() == wanted["image"]
    assert text.get_offsets().tolist() == wanted["text"]
    assert figure.axes[0].get_xlabel() == "40 % of variance"
    assert figure.axes[0].get_aspect() == 1


def test_geometry_is_one_bar_per_run_and_set(runs: list[Run]) -> None:
    (figure,) = drawn(geometry, runs)
    found = {axes.get_title(): [bar.get_width() for bar in axes.patches] for axes in figure.axes}
    assert found["modality gap"] == pytest.approx([0.8, 0.8, 0.7, 0])
    assert found["effective rank of texts"] == pytest.approx([30.5, 30.5, 30.6, 0])
    assert len(found) == 5
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["birds", "cars"]


def test_curves_are_raw_and_smoothed(runs: list[Run]) -> None:
    (figure,) = drawn(curves, runs)
    assert [axes.get_title() for axes in figure.axes] == ["loss", "scale", "learning rate"]
    loss, _, rate = figure.axes
    raw, bold = loss.lines[:2]
    step = np.arange(1, 31)
    assert raw.get_xydata() == pytest.approx(np.stack([step, 1 / step], 1))
    assert bold.get_ydata()[0] == 1 and bold.get_ydata()[10] == pytest.approx(
        np.mean(1 / step[9:12])
    )
    assert raw.get_alpha() < 1 and raw.get_color() == bold.get_color() == run_colour(0)
    assert len(loss.lines) == 4 and len(rate.lines) == 2


def test_a_validation_loss_is_a_curve(tmp_path: Path) -> None:
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv/metrics.csv").write_text("step,val/total\n1,3.5\n3,2.5\n")
    (tmp_path / "metrics.json").write_text('{"val/total": 2.5}')
    (run,) = read_runs([tmp_path])
    (figure,) = drawn(curves, [run])
    (axes,) = figure.axes
    assert axes.get_title() == "validation loss"
    assert axes.lines[0].get_xydata().tolist() == [[1, 3.5], [3, 2.5]]


def test_smoothing_keeps_means_and_straight_lines() -> None:
    line = np.arange(200.0)
    assert curves.smoothed(line) == pytest.approx(line)
    noise = np.random.default_rng(0).normal(size=2000)
    assert curves.smoothed(noise)[300:-300].std() < 0.15
    assert curves.smoothed(np.array([3.0])) == pytest.approx([3.0])


def test_differences_are_paired_with_the_first_run(runs: list[Run]) -> None:
    (figure,) = drawn(paired, runs)
    (axes,) = figure.axes
    assert axes.get_title() == "zero_shot · acc1"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["birds"]
    (point,) = series(axes)
    assert point == pytest.approx(np.array([[10, 0]]))
    low, high = bars(axes)[1][:, 0]
    assert 6 < low < 8 and 12 < high < 14
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["high"]


def test_matrices_share_a_scale(runs: list[Run]) -> None:
    (figure,) = drawn(matrix, runs)
    shown = [
        axes.images[0] for axes in figure.axes if axes.images and axes.get_ylabel() != "cosine"
    ]
    assert len(shown) == 3 and {image.get_clim() for image in shown} == {(0.1, 0.6)}
    assert shown[0].get_array().tolist() == [[0.5, 0.1], [0.2, 0.5]]


def test_many_sets_and_runs_make_several_plots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canvas, "PANELS", 2)
    plausible_run(tmp_path / "r0", sets=tuple(f"set{n}" for n in range(4)))
    for n in range(1, 8):
        plausible_run(tmp_path / f"r{n}", sets=("set0",))
    runs = read_runs([tmp_path / f"r{n}" for n in range(8)])

    def titles(plot: ModuleType) -> list[list[str]]:
        return [[a.get_title() for a in f.axes if a.get_title()] for f in drawn(plot, runs)]

    assert titles(hierarchy) == [["set0", "set1"], ["set2", "set3"]]
    # Three columns of eight rows, and a last column of one row.
    assert titles(pca) == [["set0", "set1", "set2"]] * 2 + [["set3"]]


def test_several_plots_have_numbered_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for count, names in enumerate(([], ["pca"], ["pca_1", "pca_2"])):
        kind = SimpleNamespace(NAME="pca", TITLE="T", CAPTION="C", NEEDS="details")
        kind.draw = lambda runs, count=count: [canvas.panels(1)[0]] * count
        monkeypatch.setattr(compare, "_PLOTS", (kind,))
        plots, missing = compare.draw([])
        assert [plot.name for plot in plots] == names
        assert missing == ([] if names else [("T", "details")])


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.NAME)
def test_without_data_there_is_no_plot(plot: ModuleType, tmp_path: Path) -> None:
    metrics = {"s/zero_shot/acc1": 0.5, "s/knn/weighted_k5": 0.5, "s/geometry/samples": 1}
    (run,) = read_runs([write_run(tmp_path / "r", metrics, {"s/geometry": {"protocol": {}}})])
    assert drawn(plot, [run]) == []


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.NAME)
def test_plots_show_every_run(plot: ModuleType, report: Path) -> None:
    image = Image.open(report / f"{plot.NAME}.png").convert("RGB")
    assert image.width == canvas.WIDTH * 200
    colours = {colour for _, colour in image.getcolors(1 << 24)}
    blue, vermilion = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)
    # Of runs, or of modalities; similarities have one colour for true pairs, whatever the run.
    one = {similarity: {vermilion}, paired: {vermilion}, matrix: set()}
    assert one.get(plot, {blue, vermilion}) <= colours
    assert image.getpixel((0, 0)) == (255, 255, 255)


def test_real_evaluations_have_the_data_of_every_plot(real_runs: list[Path]) -> None:
    plots, missing = draw(read_runs(real_runs))
    assert [title for title, _ in missing] == [curves.TITLE]  # they were not trained
    assert [plot.name for plot in plots if "_" not in plot.name] == [
        plot.NAME for plot in PLOTS if plot not in (curves, paired)
    ]


@pytest.mark.filterwarnings("error")
def test_names_are_only_text_to_a_plot(tmp_path: Path) -> None:
    names = ["$\\frac{", "_hidden", "猫\N{PILE OF POO}", "x" * 200]
    plausible_run(tmp_path / "0", sets=(names[0], names[3]))
    plausible_run(tmp_path / "1", sets=tuple(names[1:3]))
    plots, missing = draw(read_runs([tmp_path / "0", tmp_path / "1"], [names[0], names[1]]))
    assert [title for title, _ in missing] == [paired.TITLE]  # the runs share no set
    assert len(plots) >= len(PLOTS) - 1


def test_legends_name_runs_whatever_they_are_called(tmp_path: Path) -> None:
    names = ["_hidden", "$x$", "y" * 100]
    folders = [plausible_run(tmp_path / str(n)) for n in range(3)]
    (figure,) = drawn(hierarchy, read_runs(folders, names))
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown == ["_hidden", "$x$", f"{'y' * 29}…{'y' * 30}"]


def test_the_first_runs_look_different() -> None:
    looks = [(run_colour(n), run_marker(n)["marker"]) for n in range(56)]
    assert len(set(looks)) == 56


@pytest.mark.parametrize(
    ("plot", "details", "message"),
    [
        (robustness, {"protocol": {"baseline": 3}}, "protocol.baseline must have"),
        (
            robustness,
            {"protocol": {"baseline": {"slope": "x", "intercept": 0, "scale": "linear"}}},
            "protocol.baseline.slope must be a number; it is 'x'",
        ),
        (
            robustness,
            {"protocol": {"baseline": {"slope": float("nan"), "intercept": 0, "scale": "logit"}}},
            "protocol.baseline is not a line",
        ),
        (similarity, {"similarity": []}, "similarity must have low"),
        (similarity, {"similarity": {"low": 1, "high": 1}}, "similarity must go up"),
        (
            similarity,
            {"similarity": {"low": -1, "high": 1, "true": [1] * 10_001, "other": [1]}},
            "similarity.true must be a list of at most 10,000 counts",
        ),
        (
            similarity,
            {"similarity": {"low": -1, "high": 1, "true": [1, -1], "other": [1, 1]}},
            "similarity.true must have counts of 0 or more",
        ),
        (
            similarity,
            {"similarity": {"low": -1, "high": 1, "true": [1, 1], "other": [1]}},
            "similarity must have as many bins",
        ),
        (pca, {"pca": 1}, "pca must have image, text and variance"),
        (pca, {"pca": {"image": [[0, 1], [2]]}}, "pca.image must have pairs"),
        (
            pca,
            {"pca": {"image": [[0, float("nan")]], "text": []}},
            "pca.image must have finite numbers",
        ),
        (
            pca,
            {"pca": {"image": [[0, 0]] * 10_001}},
            "pca.image must be a list of at most 10,000 points",
        ),
        (pca, {"pca": {"image": [], "text": []}}, "pca.variance must have pairs"),
        (matrix, {"matrix": {"cosine": []}}, "matrix.cosine must have 1 to 100 rows"),
        (matrix, {"matrix": {"cosine": [[0, 0]]}}, "matrix.cosine must have as many columns"),
        (matrix, {"matrix": {"cosine": [[None]]}}, "matrix.cosine must be a number"),
        (matrix, {"matrix": {"cosine": [[9]]}}, "matrix.cosine must have cosines"),
    ],
)
def test_malformed_details_are_one_line_that_names_the_file(
    plot: ModuleType, details: dict, message: str, tmp_path: Path
) -> None:
    run = plausible_run(tmp_path / "r")
    title = "drawings_robustness" if plot is robustness else "birds_geometry"
    file = run / "details" / f"{title}.json"
    file.write_text(json.dumps(details))
    with look(), pytest.raises(ValueError, match=f"^{file}: {message}") as caught:
        list(plot.draw(read_runs([run])))
    assert "\n" not in str(caught.value)


def test_empty_data_is_not_an_error(tmp_path: Path) -> None:
    details = {
        "similarity": {"low": -1, "high": 1, "true": [0, 0], "other": [0, 0]},
        "pca": {"variance": [0, 0], "image": [], "text": []},
    }
    run = write_run(tmp_path / "r", {"s/geometry/samples": 0}, {"s/geometry": details})
    plots, _ = draw(read_runs([run]))
    assert [plot.name for plot in plots] == ["similarity", "pca"]
