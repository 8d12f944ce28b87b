"""Atoms by an expression of mdtraj's selection language, which is run as code and so looked at first."""

import ast
import warnings
from typing import Any

import mdtraj as md
import numpy as np
from mdtraj.core.selection import parse_selection
from numpy.typing import NDArray

from ..errors import SelectionError
from .predicate import make_predicate

__all__ = ["select_atoms"]

_MAX_LENGTH = 20_000
# mdtraj's grammar tries each of its 17 operators at each level, so nesting is what makes it slow.
_MAX_NESTING = 12
_MAX_NEGATIONS = 100

_ATTRIBUTES = {
    "atom": {"is_backbone", "is_sidechain", "residue", "name", "index", "n_bonds", "segment_id", "element"},
    "residue": {"is_protein", "is_nucleic", "is_water", "code", "resSeq", "name", "index", "chain"},
    "chain": {"index"},
    "element": {"symbol", "mass"},
}
_COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq, ast.In)


def select_atoms(topology: md.Topology, selection: str) -> NDArray[np.int64]:
    """Atoms that match an expression of mdtraj's selection language.

    Parameters
    ----------
    topology
        The atoms.
    selection
        Such as ``"all"``, ``"name CA"``, ``"protein and not element H"``, ``"resid 0 to 9"``.

    Returns
    -------
    Ascending indices, shape (n_selected,).

    Raises
    ------
    SelectionError
        If the expression can't be parsed or matches no atom.
    """
    tree = _checked(selection)
    try:
        matches = make_predicate(tree, topology)
        found = [atom.index for atom in topology.atoms if matches(atom)]
    except SelectionError:
        raise
    except Exception as error:  # str < int, a bad regular expression, an atom without element
        raise SelectionError(f"{_cannot(selection)}: {type(error).__name__}: {error}. {_HELP}") from error
    if not found:
        raise SelectionError(
            f"The selection {_quote(selection)} matches none of the {topology.n_atoms} atoms. {_HELP}"
        )
    return np.array(found, dtype=np.int64)


_HELP = (
    "Note that `resid` counts residues from 0 while `residue` is the number in the file, `protein` leaves "
    "out "
    'unusual residues, and names with other signs than letters and digits want quotes (name "O5\'").'
)


def _quote(selection: str) -> str:
    return repr(selection if len(selection) <= 80 else selection[:77] + "...")


def _cannot(selection: str) -> str:
    return f"Cannot use the selection {_quote(selection)}"


def _checked(selection: str) -> ast.expr:
    """Syntax tree of an expression, made by mdtraj, if it holds nothing but what the language has.

    mdtraj compiles the tree to a Python lambda too. Making that runs nothing of it, and it is never called.
    """
    if not isinstance(selection, str) or not selection.strip():
        raise SelectionError('The selection is empty. Use "all" for all atoms.')
    if len(selection) > _MAX_LENGTH or "\0" in selection:
        raise SelectionError(
            f"{_cannot(selection)}: it is {len(selection)} characters long (at most {_MAX_LENGTH}) or "
            "holds a NUL."
        )
    if _nesting(selection) > _MAX_NESTING or selection.count("not ") + selection.count("!") > _MAX_NEGATIONS:
        raise SelectionError(
            f"{_cannot(selection)}: it nests parentheses deeper than {_MAX_NESTING}, or negates more "
            "often than "
            f"{_MAX_NEGATIONS} times. Write it flatter."
        )
    try:
        parsed = _parse(selection)
        _check_truth(parsed.astnode)
    except SelectionError:
        raise
    except RecursionError as error:
        raise SelectionError(f"{_cannot(selection)}: it is nested too deeply. Write it flatter.") from error
    except Exception as error:  # ValueError, SyntaxError, AssertionError, TypeError, ParseException
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SelectionError(f"{_cannot(selection)}: {reason[:200]}. {_HELP}") from error
    tree: ast.expr = parsed.astnode
    return tree


def _parse(selection: str) -> Any:
    if "\\" not in selection:
        return parse_selection(selection)
    # Regular expressions with \d and the like are not valid escapes of the Python strings that mdtraj makes
    # of them; Python keeps the backslash, but warns.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", SyntaxWarning)
        return parse_selection(selection)


def _nesting(selection: str) -> int:
    depth = deepest = 0
    for character in selection:
        depth += (character == "(") - (character == ")")
        deepest = max(deepest, depth)
    return deepest


def _check_truth(node: Any) -> None:
    """Refuse any syntax that the selection language doesn't have where something true or false stands.

    mdtraj takes a lone ``name`` or ``1`` there, which is true of every atom.
    """
    if isinstance(node, ast.BoolOp):
        for value in node.values:
            _check_truth(value)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        _check_truth(node.operand)
    elif isinstance(node, (ast.Attribute, ast.Constant)):
        _check_value(node)
        what = node.attr if isinstance(node, ast.Attribute) else node.value
        if not str(what).startswith("is_") and not isinstance(what, bool):
            raise SelectionError(f"The selection compares {str(what)[:40]!r} with nothing. {_HELP}")
    else:
        _check_value(node)


def _check_value(node: Any) -> None:
    """Refuse any syntax that the selection language doesn't have."""
    if isinstance(node, ast.Compare) and _is_match(node):
        children = list(node.left.args)  # type: ignore[attr-defined]
    elif isinstance(node, ast.Compare) and all(isinstance(op, _COMPARISONS) for op in node.ops):
        children = [node.left, *node.comparators]
    elif isinstance(node, ast.List):
        children = node.elts
    elif isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, (str, int, float))):
        children = []
    elif isinstance(node, ast.Attribute):
        _attribute_owner(node)
        children = []
    else:
        raise SelectionError(
            f"The selection holds {type(node).__name__}, which the language doesn't have. {_HELP}"
        )
    for child in children:
        _check_value(child)


def _is_match(node: ast.Compare) -> bool:
    """Whether a comparison is ``re.match(pattern, string) is not None``, the form of ``=~``."""
    call = node.left
    return (
        len(node.ops) == 1
        and isinstance(node.ops[0], ast.IsNot)
        and isinstance(node.comparators[0], ast.Constant)
        and node.comparators[0].value is None
        and isinstance(call, ast.Call)
        and not call.keywords
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "match"
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "re"
    )


def _attribute_owner(node: Any) -> str:
    """Name of what an attribute chain such as ``atom.residue.chain`` ends in, each step allowed."""
    if isinstance(node, ast.Name) and node.id == "atom":
        return "atom"
    if isinstance(node, ast.Attribute):
        owner = _attribute_owner(node.value)
        if node.attr in _ATTRIBUTES.get(owner, ()):
            return node.attr
    raise SelectionError(f"The selection reaches for what the language doesn't have. {_HELP}")
