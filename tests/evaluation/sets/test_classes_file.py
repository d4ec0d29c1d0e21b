"""The `classes.py` of a stranger is parsed, never run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cyclip_pl.evaluation.sets.classes_file import read_classes

AUTHORS = """{
    "classes": ["aquarium fish", "it's", "möwe", "{curly}"],

    "superclasses": [["aquarium fish", "möwe"], ["it's", "{curly}"]],

    "templates": [lambda s: f"a photo of a {s}.", lambda c: f'{c}, {{not a field}}: "{c}"',
        lambda x: "the {} in the snow".format(x), lambda x: "{0} and {0}".format(x),
        lambda x: "100 %% {name} {{}}".format(name = x), "plain {}", "named {c}",
        lambda s: "in " f"two parts {s}" ", or three"],
}"""


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_as_the_authors_write_it(tmp_path) -> None:
    found = read_classes(write(tmp_path / "classes.py", AUTHORS))
    # What the authors do with the file; here the text is known.
    ran = eval(AUTHORS)
    assert found.classnames == ran["classes"]
    assert found.superclasses == ran["superclasses"]
    assert found.templates is not None
    for template, theirs in zip(found.templates, ran["templates"], strict=True):
        for name in ("goat", "{curly}", "{}"):
            wanted = theirs(name) if callable(theirs) else theirs.format(name, c=name)
            assert template.replace("{c}", name) == wanted


def test_the_same_as_json(tmp_path) -> None:
    content = {"classes": ["a", "b"], "templates": ["a {}", "b {c} {}"]}
    found = read_classes(write(tmp_path / "classes.json", json.dumps(content)))
    assert (found.classnames, found.superclasses) == (["a", "b"], None)
    assert found.templates == ["a {c}", "b {c} {}"]
    assert read_classes(write(tmp_path / "c.json", '{"classes": ["a"]}')).templates is None


def of(template: str) -> str:
    return f'{{"classes": ["a"],\n "templates": ["{{}}",\n {template}]}}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("__import__('os').system('touch run')", r", line 1: must hold a dict"),
        ("{'classes': [open('run', 'w')]}", r", line 1: expected a list of strings"),
        ("{'classes':\n [n for n in 'ab']}", r", line 2: expected a list$|list of strings"),
        ("{'classes': ['a', 1]}", r"line 1: expected a list of strings"),
        ("{'classes': 'ab'}", r'"classes" must be a list of names'),
        ("{'classes': []}", r'"classes" must be a list of names'),
        ("{**{'classes': ['a']}}", r'"classes" must be a list of names'),
        ("{'templates': ['{}']}", r'"classes" must be a list of names'),
        ("{'classes': ['a'], 'superclasses': ['a']}", r'"superclasses" must be a list of lists'),
        ("{'classes': ['a'], 'templates': []}", r'"templates" must be a list of prompts'),
        ("{'classes': ['a'],\n 'x' 'y'", r", line \d: cannot be parsed"),
        ("(" * 100_000, r"cannot be parsed"),
        ("{'classes': ['a\0']}", r"cannot be parsed"),
        ("-" * 100_000 + "1", r"cannot be parsed|must hold a dict"),
        (of("lambda c: open('run', 'w')"), r", line 3: a template must be"),
        (of("lambda c: f'{open(c)}'"), r", line 3: a template must be"),
        (of("lambda c: f'{c.__class__}'"), r", line 3: a template must be"),
        (of("lambda c: f'{c!r}'"), r", line 3: a template must be"),
        (of("lambda c: f'{c:>9}'"), r", line 3: a template must be"),
        (of("lambda c: f'{other}'"), r", line 3: a template must be"),
        (of("lambda c: f'no field'"), r", line 3: a template must be"),
        (of("lambda c: f'{c} {{c}}'"), r", line 3: a template must be"),
        (of("lambda c, d: f'{c}'"), r", line 3: a template must be"),
        (of("lambda *c: f'{c}'"), r", line 3: a template must be"),
        (of("lambda c=open('run', 'w'): f'{c}'"), r", line 3: a template must be"),
        (of("lambda c: '{.__class__}'.format(c)"), r", line 3: a template must be"),
        (of("lambda c: '{:9}'.format(c)"), r", line 3: a template must be"),
        (of("lambda c: '{'.format(c)"), r", line 3: the template '{'"),
        (of("lambda c: '{}'.replace(c)"), r", line 3: a template must be"),
        (of("lambda c: '{} {}'.format(c, open('run', 'w'))"), r", line 3: a template must be"),
        (of("lambda c: '{}'.format(*c)"), r", line 3: a template must be"),
        (of("lambda c: '{c}'.format(**c)"), r", line 3: a template must be"),
        (of("'no field'"), r", line 3: the template 'no field'"),
        (of("7"), r", line 3: the template 7 is"),
    ],
)
def test_anything_else_is_one_line_and_runs_nothing(tmp_path, monkeypatch, text, message) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "classes.py", text)
    with pytest.raises(ValueError, match=message) as caught:
        read_classes(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["classes.py"]


def test_what_is_wrong_with_a_json(tmp_path) -> None:
    for text, message in (
        ("[", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('["a"]', "must hold an object"),
        ('{"classes": ["a"], "templates": ["no field"]}', "not a string with"),
        ('{"classes": ["a"], "templates": [["{}"]]}', "not a string with"),
        ('{"classes": ["a"], "templates": "{}"}', "must be a list of prompts"),
        ('{"classes": {"a": 0}}', "must be a list of names"),
    ):
        path = write(tmp_path / "classes.json", text)
        with pytest.raises(ValueError, match=rf"classes\.json(:|) .*{message}"):
            read_classes(path)
    with pytest.raises(ValueError, match=r"none\.json is missing"):
        read_classes(tmp_path / "none.json")
    (tmp_path / "latin.py").write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"latin\.py is not UTF-8"):
        read_classes(tmp_path / "latin.py")
