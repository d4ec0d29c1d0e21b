"""Paths on the command line: as they were typed, and the quotes that Hydra's grammar needs."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from antlr4 import CommonTokenStream, InputStream, ParserRuleContext
from hydra.grammar.gen.OverrideLexer import OverrideLexer
from hydra.grammar.gen.OverrideParser import OverrideParser

from cyclip_pl.conf_dir import config_dir
from cyclip_pl.config_kinds import is_text, may_be_null, takes_list

_LISTS = ("callbacks", "evaluation", "logger")  # groups of which several are chosen, or none
_NOT_TEXT = (OverrideLexer.INT, OverrideLexer.FLOAT, OverrideLexer.BOOL, OverrideLexer.NULL)


def as_typed(argument: str) -> str:
    """`argument` with quotes where Hydra would read a path such as 2024, 1e5 or true as a value.

    Likewise for the name of a choice. Where a group takes a list, null is the empty one. Other
    arguments are returned as they are, and those that Hydra cannot read.

    Raises:
        ValueError: A list where one text is needed, or nothing.
    """
    key = setting_of(argument)
    if argument == f"{key}=null" and key in _LISTS:
        return f"{key}=[]"
    is_group = Path(config_dir(), key).is_dir()
    if argument.startswith("-") or not (is_text(key) or is_group):
        return argument
    lexer = OverrideLexer(InputStream(argument))
    lexer.removeErrorListeners()
    parser = OverrideParser(CommonTokenStream(lexer))
    parser.removeErrorListeners()
    tree = parser.override()
    if parser.getNumberOfSyntaxErrors():
        return argument
    if not (is_group or takes_list(key)):
        if argument.endswith("=") and not argument.startswith("~"):
            raise ValueError(f"{argument}: must be a text")
        if _has(tree, OverrideParser.ListContainerContext, OverrideParser.DictContainerContext):
            raise ValueError(f"{argument}: must be one text; type {quoted(argument)}")
    for token in reversed(list(_values(tree))):
        if token.type != OverrideLexer.NULL or not (is_group or may_be_null(key)):
            end = token.stop + 1
            argument = f'{argument[: token.start]}"{argument[token.start : end]}"{argument[end:]}'
    return argument


def quoted(argument: str) -> str:
    """`KEY=TEXT` as the shell and Hydra take it: `'KEY="TEXT"'`; a list has quotes in it."""
    key, _, text = argument.partition("=")
    is_list = takes_list(setting_of(argument)) and text[:1] == "[" and text[-1:] == "]"
    if is_list and not set("[{(\"'") & set(text[1:]):
        texts = [_in_quotes(one.strip()) for one in text[1:-1].split(",")]
        return shlex.quote(f"{key}=[{','.join(texts)}]")
    return shlex.quote(f"{key}={_in_quotes(text)}")


def setting_of(argument: str) -> str:
    """The dotted name that an argument sets."""
    return argument.partition("=")[0].lstrip("+~")


def _in_quotes(text: str) -> str:
    # A backslash before a quote, and those at the end, would be read with it.
    body = text.rstrip("\\")
    tail = text[len(body) :] * 2
    return '"' + body.replace('\\"', '\\\\"').replace('"', '\\"').replace("${", "\\${") + tail + '"'


def _has(node: Any, *kinds: type) -> bool:
    below = node.getChildren() if isinstance(node, ParserRuleContext) else ()
    return isinstance(node, kinds) or any(_has(child, *kinds) for child in below)


def _values(node: Any) -> Iterator[Any]:
    """The tokens in a tree that are a whole value, but are not text."""
    if isinstance(node, OverrideParser.DictKeyValuePairContext):
        # A name cannot stand in quotes; `weight`, of shards, is a number beside a path.
        if node.dictKey().getText().strip() != "weight":
            yield from _values(node.element())
    elif isinstance(node, OverrideParser.PrimitiveContext):
        tokens = [leaf.symbol for leaf in node.getChildren()]
        tokens = [token for token in tokens if token.type != OverrideLexer.WS]
        if len(tokens) == 1 and tokens[0].type in _NOT_TEXT:
            yield tokens[0]
    elif isinstance(node, ParserRuleContext) and not isinstance(
        node, OverrideParser.FunctionContext
    ):
        for child in node.getChildren():
            yield from _values(child)
