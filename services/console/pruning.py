"""Of a large style sheet the rules that our pages can meet.

A browser tries a sheet's rules on every element when a dialog opens over a page, for all behind it becomes inert:
most of Tabler's are about classes that no template names.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

_PIECE = re.compile(r"""/\*.*?\*/|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[{};]""", re.DOTALL)
_CLASS = re.compile(r"\.(-?[A-Za-z_](?:[\w-]|\\.)*)")
_WITHIN = re.compile(r"\([^()]*\)")
_GROUPS = ("@media", "@supports", "@layer", "@container")


def pruned(css: str, classes: Collection[str]) -> str:
    """The sheet without the rules that need a class which is not among these."""
    return "".join(_kept(css, classes))


def classes_of(css: str) -> set[str]:
    """The classes that the selectors of a sheet name."""
    return {name for before, _ in _rules(css) for name in _CLASS.findall(before)}


def _kept(css: str, classes: Collection[str]) -> Iterator[str]:
    for before, block in _rules(css):
        if before.lstrip().startswith(_GROUPS):
            if inner := pruned(block, classes):
                yield f"{before}{{{inner}}}"
        elif block == "" or "@" in before:
            yield f"{before}{{{block}}}" if block else before
        elif selectors := list(_that_fit(before, classes)):
            yield f"{','.join(selectors)}{{{block}}}"


def _that_fit(selectors: str, classes: Collection[str]) -> Iterable[str]:
    for selector in _split(selectors):
        without = selector
        while (less := _WITHIN.sub("", without)) != without:  # what stands in :not() or :is() decides nothing
            without = less
        if all(name in classes for name in _CLASS.findall(without)):
            yield selector


def _split(selectors: str) -> Iterator[str]:
    """At the commas that are not within parentheses."""
    depth, begin = 0, 0
    for at, sign in enumerate(selectors):
        depth += (sign == "(") - (sign == ")")
        if sign == "," and not depth:
            yield selectors[begin:at]
            begin = at + 1
    yield selectors[begin:]


def _rules(css: str) -> Iterator[tuple[str, str]]:
    """What stands before each block of the outermost level, and the block; a statement has an empty one."""
    depth, begin, opened = 0, 0, 0
    for piece in _PIECE.finditer(css):
        match piece[0]:
            case "{":
                opened = opened if depth else piece.end()
                depth += 1
            case "}":
                depth -= 1
                if not depth:
                    yield css[begin : opened - 1], css[opened : piece.start()]
                    begin = piece.end()
            case statement if not depth and (statement == ";" or statement.startswith("/*")):
                yield css[begin : piece.end()], ""
                begin = piece.end()
            case _:
                pass
