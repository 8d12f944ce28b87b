"""What a selection is run as: its syntax tree, without Python's builtins, in a time that is bounded.

mdtraj compiles the same tree, but its regular expressions may backtrack for ever, and it counts the bonds of
an atom by going through those of all atoms.
"""

import ast
import re
import time
from collections.abc import Callable
from typing import Any

import mdtraj as md
import numpy as np
import regex

from ..errors import SelectionError

__all__ = ["make_predicate"]

MATCHING_SECONDS = 1.0
"""What all regular expressions of a selection may take together; usual ones take microseconds."""

_MAX_PATTERN = 1000


def make_predicate(tree: ast.expr, topology: md.Topology) -> Callable[[Any], object]:
    """Return the function of an atom that a selection's syntax tree stands for.

    Parameters
    ----------
    tree
        As mdtraj makes it, and found to hold nothing but what the selection language has.
    topology
        The atoms that it will be called for.
    """
    names: dict[str, Any] = {"__builtins__": {}, "re": _Matcher()}
    rewriter = _Rewriter()
    body = rewriter.visit(tree)
    if rewriter.has_bonds:
        ends = [atom.index for bond in topology.bonds for atom in bond]
        names["n_bonds"] = np.bincount(np.array(ends, np.int64), minlength=topology.n_atoms).tolist()
    atom = ast.arguments(posonlyargs=[], args=[ast.arg("atom")], kwonlyargs=[], kw_defaults=[], defaults=[])
    code = ast.fix_missing_locations(ast.Expression(ast.Lambda(atom, body)))
    predicate: Callable[[Any], object] = eval(compile(code, "<selection>", "eval"), names)
    return predicate


class _Rewriter(ast.NodeTransformer):
    """Looks bonds up where mdtraj counts them, and makes sets of lists, which may be long."""

    has_bonds = False

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if node.attr != "n_bonds":
            return node
        self.has_bonds = True
        index = ast.Attribute(node.value, "index", ast.Load())
        return ast.Subscript(ast.Name("n_bonds", ast.Load()), index, ast.Load())

    def visit_List(self, node: ast.List) -> ast.AST:
        is_constant = all(isinstance(element, ast.Constant) for element in node.elts)
        return ast.Set(node.elts) if is_constant else self.generic_visit(node)


class _Matcher:
    """Stands for the module ``re``, of which a selection has `match` only."""

    def __init__(self) -> None:
        self._left = MATCHING_SECONDS
        self._found: dict[tuple[str, str], Any] = {}
        self._compiled: dict[str, Any] = {}

    def match(self, pattern: str, text: str) -> Any:
        """Match from the beginning, as ``re.match`` does, but for a limited time."""
        if not isinstance(text, str):
            raise TypeError(f"=~ compares text, and {text!r} is a number")
        if (pattern, text) not in self._found:
            self._found[pattern, text] = self._match(pattern, text)
        return self._found[pattern, text]

    def _match(self, pattern: str, text: str) -> Any:
        begin = time.perf_counter()
        try:
            return self._of(pattern).match(text, timeout=self._left)
        except TimeoutError:
            raise SelectionError(
                f"The regular expression {pattern[:80]!r} of the selection takes too long, as one with "
                "repeats inside of repeats may. Write it simpler, or select by names."
            ) from None
        finally:
            self._left = max(1e-3, self._left - (time.perf_counter() - begin))

    def _of(self, pattern: str) -> Any:
        if pattern not in self._compiled:
            if len(pattern) > _MAX_PATTERN:
                raise SelectionError(
                    f"A regular expression of the selection has {len(pattern)} characters (at most "
                    f"{_MAX_PATTERN})."
                )
            # The language stays that of `re`: the other module knows more.
            re.compile(pattern)
            self._compiled[pattern] = regex.compile(pattern, regex.VERSION0)
        return self._compiled[pattern]
