"""The words of mdtraj's selection language, and what is wrong with an expression."""

import re
import sys
import warnings
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import NoReturn

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from ..errors import SelectionError

__all__ = [
    "ELEMENT_WORDS",
    "KIND_WORDS",
    "NUMBER_WORDS",
    "check_expression",
    "matching",
    "quoted",
    "refuse",
    "replaced",
    "words_of",
]

_RESIDUE_KINDS = ("protein", "backbone", "sidechain", "nucleic", "water")
# Words that stand for a kind of residues or atoms, and which.
KIND_WORDS = {word: kind for kind in _RESIDUE_KINDS for word in (kind, f"is_{kind}")} | {"waters": "water"}
ELEMENT_WORDS = frozenset(["type", "element", "symbol", "mass"])  # words that ask for elements
# Words that are compared with numbers.
NUMBER_WORDS = frozenset(["index", "n_bonds", "residue", "resSeq", "resid", "resi", "chainid", "mass"])

# A letter for each word and operator: f stands alone, w takes names, n numbers, c compares, j joins.
_KINDS = {
    **dict.fromkeys(["all", "everything", "none", "nothing", *KIND_WORDS], "f"),
    **dict.fromkeys(["name", "code", "rescode", "resc", "resname", "resn", "segment_id", "segname"], "w"),
    **dict.fromkeys(ELEMENT_WORDS, "w"),
    **dict.fromkeys(NUMBER_WORDS, "n"),
    **dict.fromkeys(["==", "eq", "!=", "ne", "<=", "le", ">=", "ge", "<", "lt", ">", "gt", "=~"], "c"),
    **dict.fromkeys(["and", "or", "&&", "||"], "j"),
    **dict.fromkeys(["not", "!"], "!"),
    "(": "(",
    ")": ")",
    "to": "t",
}
_WORDS = sorted(word for word, kind in _KINDS.items() if kind in "fwn")

# What is wrong where such a pattern of tokens begins; v is any other token, a value.
_UNKNOWN = ""
_RULES = {
    r"(?:^|(?<=[(!jc]))[)jc]|(?<=c)!": 'something is missing before "{token}"',
    r"(?<=[(!jc])$": 'something is missing after "{last}"',
    r"(?:^|(?<=[(!j]))[vt](?!c)": _UNKNOWN,
    r"[wn](?<!c.)(?![vtc])": '"{token}" needs a value, such as "{token} {example}"',
    r"(?<=[vf)])[(!fwn]|(?<=[f)])[vt]|(?<=c[wnfv])[(!fwnvt]": '"and" or "or" is missing before "{token}"',
    r"t(?<![wn]vt)|t(?!v(?![vt]))": "a range stands alone; join several with or, as in "
    '"(resid 1 to 5 or resid 10 to 20)"',
}

# Of other programs.
_ALIASES = {
    "chain": "chainid", "segid": "segment_id", "resnum": "residue", "resno": "residue", "bynum": "index",
    "hydrogen": "element H", "calpha": "name CA", "nucleicacid": "nucleic",
}  # fmt: skip
_TOKEN = re.compile(
    r"""(?P<quoted>"[^"]*"|'[^']*')|(?P<operator>[()]|=~|[=!<>]=|[<>!]|&&|\|\|)"""
    r"""|(?P<word>[^\s()<>=!&|"'][^\s()<>=!&|]*)|(?P<stray>\S)"""
)
_WIDTH = 72


def words_of(expression: str) -> set[str]:
    """Return the words of an expression, without what is quoted."""
    return {token[0] for token in _TOKEN.finditer(expression) if token.lastgroup == "word"}


def replaced(expression: str, word: Callable[[str], str]) -> str:
    """Return an expression in which each word is what a function makes of it; what is quoted stays."""
    return _TOKEN.sub(lambda token: word(token[0]) if token.lastgroup == "word" else token[0], expression)


def quoted(names: Iterable[str]) -> str:
    """Write names as values, such as ``W 'NA+'``."""
    return " ".join(
        name if _is_plain(name) else f"'{name}'" if "'" not in name else f'"{name}"' for name in names
    )


def refuse(expression: str, place: int, problem: str) -> NoReturn:
    """Refuse an expression; the message points at the place."""
    # One line for the terminal, whose characters stand where they stood.
    line = "".join(character if character.isprintable() else " " for character in expression)
    start = max(0, min(place - _WIDTH // 2, len(line) - _WIDTH))
    shown = line[start : start + _WIDTH]
    before, after = "…" * (start > 0), "…" * (start + _WIDTH < len(line))
    caret = " " * (place - start + len(before)) + "^"
    end = "" if problem.endswith("?") else "."
    raise SelectionError(f"Cannot use the selection: {problem}{end}\n  {before}{shown}{after}\n  {caret}")


def check_expression(expression: str, *, names: dict[str, set[str]]) -> list[tuple[str, str]]:
    """Refuse what mdtraj can't read, and what it reads as something that nobody means.

    mdtraj takes ``name`` alone for all atoms, ``water or protein name CA`` for ``water``, ``name 1H1`` for
    ``name H1``, ``resid 5 10 to 20`` for three residues, and ``resid ALA`` for none. `names` are those of the
    atoms by the word that asks for them, to suggest the latter. Returns the words for names and the values
    that they are compared with.
    """
    tokens = list(_TOKEN.finditer(expression))
    if not tokens:
        raise SelectionError('Cannot use the selection: it is empty. Use "all" for all atoms.')
    for token in tokens:
        if token.lastgroup == "stray":
            hint = '; write "=="' if token[0] == "=" else ""
            refuse(expression, token.start(), f"{token[0]} means nothing here{hint}")
        if token[0] == "not" and expression[token.end() :].startswith("("):
            refuse(expression, token.start(), 'a space is missing after "not"')
    kinds = "".join(_KINDS.get(token[0], "v") for token in tokens)
    wrong = [(found.start(), rule) for rule in _RULES for found in re.finditer(rule, kinds)]
    if wrong:
        at, rule = min(wrong)
        is_end = at == len(tokens)
        text = "" if is_end else tokens[at][0]
        place = len(expression.rstrip()) if is_end else tokens[at].start()
        example = "1" if text in NUMBER_WORDS else "CA"
        problem = _RULES[rule].format(token=text, last=tokens[-1][0], example=example)
        refuse(expression, place, problem or _explain_unknown(text, names))
    opened = []
    for token in tokens:
        if token[0] == "(":
            opened.append(token.start())
        elif token[0] == ")" and not opened:
            refuse(expression, token.start(), 'this ")" closes no "("')
        elif token[0] == ")":
            opened.pop()
    if opened:
        refuse(expression, opened[-1], 'this "(" isn\'t closed')
    compared = []
    for found in re.finditer(r"([wn])(?:c[fwnv]|[vt]+)", kinds):
        word, *values = tokens[found.start() : found.end()]
        for value in values:
            if _KINDS.get(value[0]) in ("c", "t"):
                continue
            if problem := _explain_value(word[0], value[0]):
                refuse(expression, value.start(), problem)
            if found[1] == "w":
                compared.append((word[0], value[0].strip("'\"")))
    return compared


def _explain_value(word: str, text: str) -> str:
    """Say what is wrong with a value that a word is compared with, if anything is."""
    if word not in NUMBER_WORDS:
        if text[0] in "'\"" or _is_plain(text):
            return ""
        return f"names that aren't of letters and digits alone need quotes: {word} {quoted([text])}"
    if re.fullmatch(r"\d+\.?\d*|\.\d+", text):
        return ""
    span = re.fullmatch(r"(\d+)[-:](\d+)", text)
    mend = f'; write "{word} {span[1]} to {span[2]}"' if span else ""
    mend = "; separate them by spaces" if "," in text else mend
    return f'"{word}" takes numbers{", counted from 0" if word == "chainid" else mend}'


def _explain_unknown(word: str, names: dict[str, set[str]]) -> str:
    lower, meant = word.lower(), '; for names, write "resname …" or "name …"'
    close = get_close_matches(lower, _WORDS, 1, 0.7)
    found = [kind for kind, known in names.items() if word.strip("'\"") in known]
    if lower in _WORDS or lower in _ALIASES or (close and not found):
        meant = f'; did you mean "{_ALIASES.get(lower, lower if lower in _WORDS else close[0])}"?'
    elif found:
        meant = f'; did you mean "{found[0]} {quoted([word])}"?'
    return f"\"{word}\" isn't a word of mdtraj's selection language{meant}"


def _is_plain(text: str) -> bool:
    """Tell whether mdtraj reads a text as one name."""
    return re.fullmatch("[A-Za-z][A-Za-z0-9]*", text) is not None and _KINDS.get(text, "v") in "fwnv"


def matching(topology: md.Topology, selection: str) -> NDArray[np.int64]:
    """Return the atoms that mdtraj selects, shape (n_selected,), with whatever error it has."""
    limit = sys.getrecursionlimit()
    # The parser goes some hundred calls deep for each pair of parentheses.
    sys.setrecursionlimit(max(limit, 20_000))
    try:
        with warnings.catch_warnings():
            # mdtraj makes Python strings of regular expressions, and Python warns of escapes such as \d.
            warnings.simplefilter("ignore")
            return np.asarray(topology.select(selection), np.int64)
    finally:
        sys.setrecursionlimit(limit)
