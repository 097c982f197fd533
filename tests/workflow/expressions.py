"""The expressions of GitHub's workflows, `${{ … }}`, by the rules that GitHub documents.

What is missing in an object is null, as on GitHub. An unknown context or function, and whatever else GitHub would
refuse, is an ExpressionError, also behind an `&&` that would never reach it.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

from tests.workflow.values import (
    FUNCTIONS,
    NUMBER,
    ExpressionError,
    Function,
    Value,
    children,
    comparable,
    member,
    number,
    text,
    truthy,
)

STATUS_FUNCTIONS = frozenset({"success", "failure", "always", "cancelled"})

_Node: TypeAlias = Callable[[], Value]
_TOKEN = re.compile(
    rf"""\s*(?:
      (?P<number>{NUMBER}(?![\w.]))
    | (?P<string>'(?:[^']|'')*')
    | (?P<name>[A-Za-z_][\w-]*)
    | (?P<operator>&&|\|\||[<>=!]=|[<>!().,\[\]*])
    )""",
    re.VERBOSE | re.ASCII,
)
_TEMPLATE = re.compile(r"\$\{\{((?:[^']|'[^']*')*?)\}\}")
#: From the loosest to the tightest.
_LEVELS = (("||",), ("&&",), ("==", "!="), ("<", "<=", ">", ">="))
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Scope:
    """What an expression may name: contexts, and the functions that only some places of a workflow have."""

    contexts: Mapping[str, Value]
    functions: Mapping[str, Function] = field(default_factory=dict)

    def only(self, names: str) -> Scope:
        """The scope of a place that has these contexts alone."""
        return replace(self, contexts={name: self.contexts[name] for name in names.split()})

    def knowing(self, **contexts: Value) -> Scope:
        return replace(self, contexts={**self.contexts, **contexts})

    def calling(self, **functions: Function) -> Scope:
        return replace(self, functions={**self.functions, **functions})


def evaluate(expression: str, scope: Scope) -> Value:
    """The value of what stands between `${{` and `}}`."""
    return _Parser(expression, scope).parse()()


def interpolate(source: Value, scope: Scope) -> Value:
    """A YAML scalar with its expressions evaluated. A scalar that is one expression keeps that expression's type."""
    if not isinstance(source, str):
        return source
    if "${{" in _TEMPLATE.sub("", source):
        raise ExpressionError(f"an expression without its end: {source}")
    whole = _TEMPLATE.match(source)
    if whole and whole.end() == len(source):
        return evaluate(whole[1], scope)
    return _TEMPLATE.sub(lambda match: text(evaluate(match[1], scope)), source)


def condition(source: Value, scope: Scope) -> bool:
    """Whether an `if:` holds. `success() &&` is implied where no status function is called; no `if:` is `success()`."""
    words = text(source).strip()
    whole = _TEMPLATE.match(words)
    if whole and whole.end() == len(words):
        words = whole[1].strip()
    elif "${{" in words:
        raise ExpressionError(f"text beside an expression makes an `if:` that always holds: {words}")
    parser = _Parser(words or "success()", scope)
    node = parser.parse()
    if parser.called.isdisjoint(STATUS_FUNCTIONS) and not truthy(evaluate("success()", scope)):
        return False
    return truthy(node())


class _Parser:
    """Recursive descent into thunks: `&&` and `||` evaluate only what they need, yet every name has been looked up."""

    def __init__(self, source: str, scope: Scope) -> None:
        self.source = source
        self.contexts = {name.lower(): value for name, value in scope.contexts.items()}
        self.functions = dict(FUNCTIONS)
        for name, function in scope.functions.items():
            fewest, most = (0, 0) if name in STATUS_FUNCTIONS else (1, 255)
            self.functions[name.lower()] = function, fewest, most
        self.called: set[str] = set()
        self.tokens = list(self._tokenize())

    def parse(self) -> _Node:
        node = self._binary()
        if self.tokens:
            raise self._error(f"{self.tokens[0][1]!r} is not expected")
        return node

    def _error(self, what: str) -> ExpressionError:
        return ExpressionError(f"{what} in: {self.source.strip()}")

    def _tokenize(self) -> Iterator[tuple[str, str]]:
        position, end = 0, len(self.source.rstrip())
        while position < end:
            match = _TOKEN.match(self.source, position)
            if match is None or match.lastgroup is None:
                raise self._error(f"{self.source[position:].strip()!r} cannot be read")
            yield match.lastgroup, match[match.lastgroup]
            position = match.end()

    def _take(self, *signs: str) -> str:
        """The next token, if it is one of these operators; else ''."""
        if self.tokens and self.tokens[0][0] == "operator" and self.tokens[0][1] in signs:
            return self.tokens.pop(0)[1]
        return ""

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            raise self._error(f"{sign!r} is missing")

    def _next(self, what: str) -> tuple[str, str]:
        if not self.tokens:
            raise self._error(f"{what} is missing")
        return self.tokens.pop(0)

    def _binary(self, level: int = 0) -> _Node:
        if level == len(_LEVELS):
            return self._unary()
        node = self._binary(level + 1)
        while sign := self._take(*_LEVELS[level]):
            node = partial(_apply, sign, node, self._binary(level + 1))
        return node

    def _unary(self) -> _Node:
        if self._take("!"):
            operand = self._unary()
            return lambda: not truthy(operand())
        return self._postfix(self._primary())

    def _postfix(self, node: _Node) -> _Node:
        while sign := self._take(".", "["):
            if self._take("*"):
                node = partial(lambda whole: children(whole()), node)
            elif sign == "[":
                node = partial(lambda whole, key: member(whole(), key()), node, self._binary())
            else:
                kind, name = self._next("a property's name")
                if kind != "name":
                    raise self._error(f"{name!r} is no property's name")
                node = partial(lambda whole, key: member(whole(), key), node, name)
            if sign == "[":
                self._expect("]")
        return node

    def _primary(self) -> _Node:
        if self._take("("):
            node = self._binary()
            self._expect(")")
            return node
        kind, word = self._next("a value")
        if kind == "string":
            return lambda: word[1:-1].replace("''", "'")
        if kind == "number":
            amount = number(word)
            return lambda: int(amount) if amount.is_integer() else amount
        if kind == "operator":
            raise self._error(f"{word!r} is not expected")
        if self._take("("):
            return self._call(word)
        if word in ("true", "false", "null"):
            return lambda: {"true": True, "false": False}.get(word)
        if word.lower() not in self.contexts:
            raise self._error(f"there is no context {word!r} here")
        return lambda: self.contexts[word.lower()]

    def _call(self, name: str) -> _Node:
        arguments: list[_Node] = []
        while not self._take(")"):
            if arguments:
                self._expect(",")
            arguments.append(self._binary())
        if name.lower() not in self.functions:
            raise self._error(f"there is no function {name!r} here")
        function, fewest, most = self.functions[name.lower()]
        if not fewest <= len(arguments) <= most:
            raise self._error(f"{name}() does not take {len(arguments)} arguments")
        self.called.add(name.lower())
        return lambda: function(*(argument() for argument in arguments))


def _apply(sign: str, left: _Node, right: _Node) -> Value:
    first = left()
    if sign in ("&&", "||"):
        return first if truthy(first) == (sign == "||") else right()
    return _COMPARE[sign](*comparable(first, right()))
