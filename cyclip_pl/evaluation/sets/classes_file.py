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
import string
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclip_pl.evaluation.sets.texts import read_json, read_text

_LARGEST = 1 << 24  # bytes; ImageNet's has 60,000
_FORMS = (
    'a template must be lambda c: f"… {c} …", lambda c: "… {} …".format(c), or a string '
    "with {} or {c}"
)


@dataclass
class ClassesFile:
    """The K class names, templates with `{c}` and class names by superclass of such a file."""

    classnames: list[str]
    templates: list[str] | None
    superclasses: list[list[str]] | None


class _Wrong(Exception):
    """The reason, and the line if there is one."""


def read_classes(path: Path) -> ClassesFile:
    """The content of a `.json`, or of a file in CyCLIP's Python form.

    Raises:
        ValueError: One line that names the file, and the line where there is one.
    """
    try:
        if path.is_file() and path.stat().st_size > _LARGEST:
            raise _Wrong(f"is larger than {_LARGEST} bytes")
        if path.suffix == ".json":
            return _checked(_from_json(read_json(path)))
        return _checked(_from_python(read_text(path)))
    except _Wrong as error:
        reason, *line = error.args
        where = f"{path}, line {line[0]}" if line else path
        raise ValueError(f"{where}: {reason}") from error


def _from_json(entries: Any) -> dict[str, Any]:
    if not isinstance(entries, dict):
        raise _Wrong('must hold an object: {"classes": […], "templates": […]}')
    if isinstance(templates := entries.get("templates"), list):
        entries["templates"] = [_with_c(template) for template in templates]
    return entries


def _from_python(text: str) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd escapes in the text
            tree = ast.parse(text.lstrip(" \t"), mode="eval").body
    except SyntaxError as error:
        raise _Wrong(f"cannot be parsed: {error.msg}", error.lineno) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise _Wrong(f"cannot be parsed: {str(error) or 'too deep'}") from error
    if not isinstance(tree, ast.Dict):
        raise _Wrong('must hold a dict: {"classes": […], "templates": […]}', tree.lineno)
    entries: dict[str, Any] = {}
    for key, value in zip(tree.keys, tree.values, strict=True):
        match key, value:
            case ast.Constant("templates"), ast.List(items) | ast.Tuple(items):
                entries["templates"] = [_template(item) for item in items]
            case ast.Constant("templates"), _:
                raise _Wrong("expected a list", value.lineno)
            case ast.Constant("classes" | "superclasses" as name), _:
                entries[name] = _strings(value)
    return entries


def _strings(node: ast.expr) -> Any:
    """Strings and lists of them, as they stand."""
    match node:
        case ast.Constant(str(text)):
            return text
        case ast.List(items) | ast.Tuple(items):
            return [_strings(item) for item in items]
    raise _Wrong("expected a list of strings", node.lineno)


def _template(node: ast.expr) -> str:
    match node:
        case ast.Constant(text):
            return _with_c(text, node.lineno)
        # Unparsed, arguments with a default or a star are more than the name.
        case ast.Lambda(ast.arguments(args=[ast.arg(name)]) as arguments, body):
            parts = list(_parts(body, name)) if ast.unparse(arguments) == name else []
            if None in parts and not any(part and "{c}" in part for part in parts):
                return "".join("{c}" if part is None else part for part in parts)
    raise _Wrong(_FORMS, node.lineno)


def _parts(body: ast.expr, name: str) -> Iterator[str | None]:
    """The literal parts of a lambda's template; None for the class."""
    match body:
        case ast.JoinedStr(parts):
            for part in parts:
                match part:
                    case ast.Constant(str(text)):
                        yield text
                    case ast.FormattedValue(ast.Name(used), -1, None) if used == name:
                        yield None
                    case _:
                        raise _Wrong(_FORMS, body.lineno)
            return
        case ast.Call(ast.Attribute(ast.Constant(str(text)), "format"), arguments, keywords):
            match [*arguments, *keywords]:
                case [ast.Name(used)] if used == name:
                    yield from _fields(text, {"", "0"}, body.lineno)
                    return
                case [ast.keyword(str(keyword), ast.Name(used))] if used == name:
                    yield from _fields(text, {keyword}, body.lineno)
                    return
    raise _Wrong(_FORMS, body.lineno)


def _fields(text: str, names: set[str], line: int) -> Iterator[str | None]:
    """The literal parts of a format string; None for a field of one of these names."""
    try:
        for literal, field, spec, conversion in string.Formatter().parse(text):
            yield literal
            if field in names and not spec and not conversion:
                yield None
            elif field is not None:
                raise _Wrong(_FORMS, line)
    except ValueError as error:
        raise _Wrong(f"the template {text!r}: {error}", line) from error


def _with_c(template: Any, *line: int) -> str:
    if isinstance(template, str) and "{c}" not in template:
        template = template.replace("{}", "{c}")
    if not isinstance(template, str) or "{c}" not in template:
        raise _Wrong(f"the template {template!r} is not a string with {{}} or {{c}}", *line)
    return template


def _checked(entries: dict[str, Any]) -> ClassesFile:
    classnames = entries.get("classes")
    if not _is_names(classnames) or not classnames:
        raise _Wrong('"classes" must be a list of names')
    templates = entries.get("templates")
    if templates is not None and not (_is_names(templates) and templates):
        raise _Wrong('"templates" must be a list of prompts with {c}')
    groups = entries.get("superclasses")
    if groups is not None and not (isinstance(groups, list) and all(map(_is_names, groups))):
        raise _Wrong('"superclasses" must be a list of lists of class names')
    return ClassesFile(classnames, templates, groups)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) and name for name in value)
