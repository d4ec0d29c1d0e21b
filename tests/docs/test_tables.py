"""Names in the tables of docs/ are those of conf/ and of the code, all of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from cyclip_pl.data.epochs import MISSING, UNCOUNTED
from cyclip_pl.data.sample_names import APART, DOTS
from cyclip_pl.evaluation.sets.catalogue import entries
from cyclip_pl.images import FORMATS, MAX_PIXELS, TooLarge, Undecodable
from cyclip_pl.tar_members import CUT, DAMAGED, LARGEST_MEMBER, UNREADABLE
from cyclip_pl.training import train
from tests.docs.pages import DOCS, README, names, table
from tests.helpers.composed import CONF, choices, composed
from tests.helpers.world import shrunk

GROUPS = {
    names(group)[0]: set(names(said)) for group, said in table("configuration.md", "| group |")
}
CHOSEN = ("data", "encoder", "objective", "optimizer", "projector", "scheduler", "trainer", "views")
METRICS = "| evaluation | metric |"


def test_every_group_has_its_row() -> None:
    assert set(GROUPS) == {path.name for path in CONF.iterdir() if path.is_dir()}


@pytest.mark.parametrize("group", GROUPS)
def test_a_row_lists_the_choices_of_its_group(group: str) -> None:
    assert GROUPS[group] >= set(choices(group))
    assert GROUPS[group] <= {*choices(group), "eval.py"}


def test_the_defaults_are_those() -> None:
    for group, said in table("configuration.md", "| group |"):
        default = re.findall(r"`(\w+)` \(the default\)", said)
        if default:
            script = "eval" if names(group) == ["model"] else "train"
            listed = OmegaConf.load(CONF / f"{script}.yaml").defaults
            chosen = next(entry[names(group)[0]] for entry in listed if names(group)[0] in entry)
            assert default == [chosen] or default == list(chosen)


def test_every_setting_of_an_export_has_its_row() -> None:
    listed = [name for row in table("export.md", "| setting |") for name in names(row[0])]
    settings = OmegaConf.load(CONF / "export.yaml").keys() - {"defaults", "hydra"}
    assert sorted(listed) == sorted(settings)


@pytest.mark.parametrize(
    ("page", "header", "group"),
    [
        ("objectives.md", "| `objective` |", "objective"),
        ("models.md", "| `encoder` |", "encoder"),
        ("models.md", "| `projector` |", "projector"),
        ("data.md", "| `views` |", "views"),
    ],
)
def test_a_page_describes_every_choice(page: str, header: str, group: str) -> None:
    listed = [name for row in table(page, header) for name in names(row[0])]
    assert sorted(listed) == choices(group)


def test_every_cause_of_a_lost_sample_is_explained() -> None:
    data = CONF.parent / "cyclip_pl" / "data"
    code = "".join((data / f"{name}.py").read_text() for name in ("decoder", "captions"))
    found = set(re.findall(r'SkippedSample\("([^"]+)"', code))
    found |= {CUT, DAMAGED, UNREADABLE, MISSING, UNCOUNTED, APART, DOTS}
    found |= {Undecodable.reason, TooLarge.reason}
    found |= {"link", "sparse file", f"file over {LARGEST_MEMBER >> 20} MiB"}
    assert {cause for row in table("data.md", "| cause |") for cause in names(row[0])} == found


@pytest.mark.slow
def test_what_an_objective_brings() -> None:
    plain = composed("objective=clip")
    for row in table("objectives.md", "| `objective` |"):
        brought = set(names(row[2]))
        for objective in names(row[0]):
            config = composed(f"objective={objective}")
            for group in ("projector", "views"):
                chosen = [c for c in brought if c in choices(group)]
                same = composed(f"{group}={chosen[0]}")[group] if chosen else plain[group]
                assert config[group] == same, f"{objective}: {group}"


@pytest.fixture(scope="module")
def settings() -> set[str]:
    """Every dotted name that some choice of some group has."""
    found: set[str] = set()

    def walk(node: object, name: str) -> None:
        found.add(name)
        if isinstance(node, dict):
            for key, below in node.items():
                walk(below, f"{name}.{key}")

    every = f"evaluation=[{','.join(choices('evaluation'))}]"
    loggers = f"logger=[{','.join(choices('logger'))}]"
    callbacks = f"callbacks=[{','.join(choices('callbacks'))}]"
    variants = [("train", [every, loggers, callbacks]), ("eval", [every, "checkpoint=x"])]
    variants += [("train", [f"{group}={choice}"]) for group in CHOSEN for choice in choices(group)]
    variants += [("eval", [f"model={choice}", "checkpoint=x"]) for choice in choices("model")]
    for script, overrides in variants:
        config = composed(*overrides, config_name=script)
        for key, node in OmegaConf.to_container(config).items():
            walk(node, str(key))
    return found


@pytest.mark.slow
# The changelog names what was renamed as well.
@pytest.mark.parametrize("page", [README, *DOCS], ids=lambda page: page.name)
def test_a_setting_that_a_page_names_exists(page: Path, settings: set[str]) -> None:
    roots = {setting for setting in settings if "." not in setting}
    for code in re.findall(r"`([^`\n]+)`", page.read_text("utf-8")):
        named = re.fullmatch(r"(\w+(?:\.[\w<>*]+)+)(?:=\S*)?", code)
        file = code.endswith((".json", ".onnx", ".pt2", ".safetensors"))
        if named and named[1].split(".")[0] in roots and not file:
            pattern = re.sub(r"<\w+>", r"\\w+", named[1].replace(".", r"\.").replace("*", r"\w+"))
            assert any(re.fullmatch(pattern, setting) for setting in settings), code


def test_the_kinds_of_images_are_listed() -> None:
    listed = [tuple(names(members)) for _, members in table("data.md", "| kind |")]
    assert listed == list(FORMATS.values())
    assert round(MAX_PIXELS / 1e6) == 89


def test_the_catalogue_is_listed() -> None:
    listed = [name for row in table("datasets.md", "| kind |") for name in names(row[1])]
    assert sorted(listed) == sorted(entries())


def test_commands_and_extras_are_listed() -> None:
    project = (README.parent / "pyproject.toml").read_text("utf-8")
    scripts = re.findall(r"^(cyclip-\w+) = ", project, re.M)
    assert [names(row[0])[0] for row in table("installation.md", "| command |")] == scripts
    block = project.partition("[project.optional-dependencies]\n")[2].partition("\n[")[0]
    extras = re.findall(r"^(\w+) = \[", block, re.M)
    listed = [name for row in table("installation.md", "| extra |") for name in names(row[0])]
    assert sorted(listed) == sorted(extras)


def test_the_readme_is_short() -> None:
    lines = README.read_text("utf-8").splitlines()
    assert len(lines) <= 120
    assert max(map(len, lines)) <= 100


def documented() -> dict[str, str]:
    """The metrics of each evaluation as the table has them: a pattern by name."""
    patterns: dict[str, list[str]] = {}
    name = ""
    for row in table("evaluation.md", METRICS):
        name = row[0].strip("`") or name
        patterns.setdefault(name, []).extend(m for m in names(row[1]) if m[0] != "…")
    everywhere = patterns.pop("all")
    return {
        name: re.sub(r"<\w>", r"\\d+", "|".join([*metrics, *everywhere]))
        for name, metrics in patterns.items()
    }


@pytest.mark.slow
def test_every_metric_is_documented(world: Path, tmp_path: Path) -> None:
    patterns = documented()
    assert sorted(patterns) == choices("evaluation")
    config = composed(
        *shrunk(world),
        f"evaluation=[{','.join(patterns)}]",
        f"evaluation.datasets=[{world}/shapes,{world}/captions,{world}/moved]",
        f"evaluation.robustness.in_distribution={world}/shapes",
        "+evaluation.robustness.baselines.moved={slope: 1, intercept: 0}",
        "trainer.max_steps=1",
        run_dir=tmp_path,
    )
    found = {name.split("/", 1)[1] for name in train(config) if not name.startswith("train/")}
    for name, pattern in patterns.items():
        metrics = {f.split("/")[1] for f in found if f.startswith(f"{name}/")}
        assert metrics
        for metric in metrics:
            assert re.fullmatch(f"({pattern})(_low|_high|_std)?", metric), f"{name}/{metric}"
        for one in pattern.split("|"):
            rare = "k\\d+_mean_per_class_recall" in one or one == "train_samples"
            assert rare or any(re.fullmatch(one, metric) for metric in metrics), f"{name}/{one}"
