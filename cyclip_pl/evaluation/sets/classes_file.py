"""Read class names and prompts from a `classes.py` or `classes.json` of a stranger.

CyCLIP's code runs such a file through `eval`:

    {
        "classes": ["airplane", "automobile", …],
        "superclasses": [["beaver", "dolphin", …], …],
        "templates": [lambda s: f"a photo of a {s}.", lambda s: f"a drawing of the {s}.", …],
    }

Here the text is parsed, never run. A JSON file holds the same keys, with templates as strings:
"a photo of a {c}.".
"""

from __future__ import annotations

import ast
import json
import string
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LARGEST = 1 << 24  # bytes; ImageNet's has 60,000


@dataclass
class ClassesFile:
    """The content of such a file.

    Attributes:
        classnames: K names, class 0 first.
        templates: Templates with `{c}`; None if it has none.
        superclasses: Class names, grouped by superclass; None if it has none.
    """

    classnames: list[str]
    templates: list[str] | None
    superclasses: list[list[str]] | None


class _Wrong(Exception):
    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.line = line


def read_classes(path: Path) -> ClassesFile:
    """The content of a `.json`, or of a file in CyCLIP's Python form.

    Raises:
        ValueError: One line that names the file, and the line where there is one.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise _Wrong(f"is larger than {_LARGEST} bytes")
        text = path.read_text(encoding="utf-8-sig")
        entries = _from_json(text) if path.suffix == ".json" else _from_python(text)
        return _checked(entries)
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: {error}") from error
    except _Wrong as error:
        where = f"{path}, line {error.line}" if error.line else str(path)
        raise ValueError(f"{where}: {error}") from error


def _from_json(text: str) -> dict[str, Any]:
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _Wrong(f"is not JSON: {error}") from error
    if not isinstance(entries, dict):
        raise _Wrong('must hold an object: {"classes": […], "templates": […]}')
    if isinstance(templates := entries.get("templates"), list):
        entries["templates"] = [_with_c(template) for template in templates]
    return entries


def _from_python(text: str) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd escapes in the text
            tree = ast.parse(text.lstrip(" \t"), mode="eval")
    except SyntaxError as error:
        raise _Wrong(f"cannot be parsed: {error.msg}", error.lineno) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise _Wrong(f"cannot be parsed: {str(error) or 'too deep'}") from error
    if not isinstance(tree.body, ast.Dict):
        raise _Wrong('must hold a dict: {"classes": […], "templates": […]}', tree.body.lineno)
    entries: dict[str, Any] = {}
    for key, value in zip(tree.body.keys, tree.body.values, strict=True):
        name = key.value if isinstance(key, ast.Constant) else None
        if name == "templates":
            entries[name] = [_template(node) for node in _items(value)]
        elif name in ("classes", "superclasses"):
            entries[name] = _strings(value)
    return entries


def _items(node: ast.expr) -> list[ast.expr]:
    if not isinstance(node, ast.List | ast.Tuple):
        raise _Wrong("expected a list", node.lineno)
    return node.elts


def _strings(node: ast.expr) -> Any:
    """Strings and lists of them, as they stand."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.List | ast.Tuple):
        return [_strings(item) for item in node.elts]
    raise _Wrong("expected a list of strings", node.lineno)


_FORMS = (
    'a template must be lambda c: f"… {c} …", lambda c: "… {} …".format(c), or a string '
    "with {} or {c}"
)


def _template(node: ast.expr) -> str:
    try:
        if isinstance(node, ast.Constant):
            return _with_c(node.value)
        if isinstance(node, ast.Lambda):
            return _of_lambda(node)
    except _Wrong as error:
        raise _Wrong(str(error), node.lineno) from error
    raise _Wrong(_FORMS, node.lineno)


def _of_lambda(node: ast.Lambda) -> str:
    arguments = node.args
    if len(arguments.args) != 1 or ast.unparse(arguments) != arguments.args[0].arg:
        raise _Wrong(_FORMS)
    name = arguments.args[0].arg
    if isinstance(node.body, ast.JoinedStr):
        return _joined([_part(part, name) for part in node.body.values])
    if isinstance(node.body, ast.Call):
        return _formatted(node.body, name)
    raise _Wrong(_FORMS)


def _part(node: ast.expr, name: str) -> str | None:
    """A literal part of an f-string; None for the class."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.FormattedValue) and node.conversion == -1 and not node.format_spec:
        _must_be(node.value, name)
        return None
    raise _Wrong(_FORMS)


def _formatted(call: ast.Call, name: str) -> str:
    function = call.func
    if not (
        isinstance(function, ast.Attribute)
        and function.attr == "format"
        and isinstance(function.value, ast.Constant)
        and isinstance(text := function.value.value, str)
        and len(call.args) + len(call.keywords) == 1
    ):
        raise _Wrong(_FORMS)
    fields = {call.keywords[0].arg} if call.keywords else {"", "0"}
    _must_be(call.args[0] if call.args else call.keywords[0].value, name)
    parts: list[str | None] = []
    try:
        for literal, field, spec, conversion in string.Formatter().parse(text):
            if field is not None and (field not in fields or spec or conversion):
                raise _Wrong(_FORMS)
            parts += [literal] if field is None else [literal, None]
    except ValueError as error:
        raise _Wrong(f"the template {text!r}: {error}") from error
    return _joined(parts)


def _must_be(node: ast.expr, name: str) -> None:
    if not (isinstance(node, ast.Name) and node.id == name):
        raise _Wrong(_FORMS)


def _joined(parts: list[str | None]) -> str:
    if any(part is not None and "{c}" in part for part in parts) or None not in parts:
        raise _Wrong(_FORMS)
    return "".join("{c}" if part is None else part for part in parts)


def _with_c(template: Any) -> str:
    if isinstance(template, str) and "{c}" not in template:
        template = template.replace("{}", "{c}")
    if not isinstance(template, str) or "{c}" not in template:
        raise _Wrong(f"the template {template!r} is not a string with {{}} or {{c}}")
    return template


def _checked(entries: dict[str, Any]) -> ClassesFile:
    classnames = entries.get("classes")
    if not _is_names(classnames) or not classnames:
        raise _Wrong('"classes" must be a list of names')
    templates = entries.get("templates")
    if templates is not None and not (_is_names(templates) and templates):
        raise _Wrong('"templates" must be a list of prompts with {c}')
    superclasses = entries.get("superclasses")
    if superclasses is not None and not (
        isinstance(superclasses, list) and all(map(_is_names, superclasses))
    ):
        raise _Wrong('"superclasses" must be a list of lists of class names')
    return ClassesFile(classnames, templates, superclasses)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) and name for name in value)
