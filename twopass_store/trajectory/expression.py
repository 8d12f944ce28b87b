"""The words of mdtraj's selection language, and what is wrong with an expression."""

import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from itertools import takewhile
from typing import NoReturn

from ..errors import SelectionError

__all__ = [
    "ELEMENT_WORDS",
    "KIND_WORDS",
    "NUMBER_WORDS",
    "check_expression",
    "quoted",
    "refuse",
    "replaced",
    "words_of",
]

KIND_WORDS = {
    word: kind
    for kind, aliases in {
        "protein": "protein is_protein",
        "backbone": "backbone is_backbone",
        "sidechain": "sidechain is_sidechain",
        "nucleic": "nucleic is_nucleic",
        "water": "water waters is_water",
    }.items()
    for word in aliases.split()
}
"""Words that stand for a kind of residues or atoms, and which."""

ELEMENT_WORDS = frozenset(["type", "element", "symbol", "mass"])
"""Words that ask for elements."""

NUMBER_WORDS = frozenset(["index", "n_bonds", "residue", "resSeq", "resid", "resi", "chainid", "mass"])
"""Words that are compared with numbers."""

_FLAGS = frozenset(["all", "everything", "none", "nothing", *KIND_WORDS])
_NAMES = frozenset(["name", "code", "rescode", "resc", "resname", "resn", "segment_id", "segname"])
_NAMES |= {"type", "element", "symbol"}
_WORDS = sorted(_FLAGS | NUMBER_WORDS | _NAMES)
_JOINTS = frozenset(["and", "or", "&&", "||"])
_COMPARISONS = frozenset(["==", "eq", "!=", "ne", "<=", "le", ">=", "ge", "<", "lt", ">", "gt", "=~"])
_OPERATORS = _JOINTS | _COMPARISONS | {"not", "!", "(", ")"}

# Of other programs.
_ALIASES = {
    "chain": "chainid",
    "segid": "segment_id",
    "resnum": "residue",
    "resno": "residue",
    "hydrogen": "element H",
    "bynum": "index",
    "calpha": "name CA",
    "nucleicacid": "nucleic",
}
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
    ``name H1``, ``resid 5 10 to 20`` for three residues, and ``resid ALA`` for none.

    Parameters
    ----------
    expression
        The expression.
    names
        The atoms' names by the word that asks for them, ``name`` and ``resname``, to suggest the latter.

    Returns
    -------
    The words for names and the values that they are compared with.
    """
    return _Check(expression, names).run()


class _Check:
    """A walk over the tokens of an expression, which knows what may come next."""

    def __init__(self, expression: str, names: dict[str, set[str]]) -> None:
        self.expression = expression
        self.names = names
        self.tokens = list(_TOKEN.finditer(expression))
        self.compared: list[tuple[str, str]] = []

    def run(self) -> list[tuple[str, str]]:
        if not self.tokens:
            raise SelectionError('Cannot use the selection: it is empty. Use "all" for all atoms.')
        for at, token in enumerate(self.tokens):
            if token.lastgroup == "stray":
                hint = '; write "=="' if token[0] == "=" else ""
                self._refuse(at, f"{token[0]} means nothing here{hint}")
        opened: list[int] = []
        wants_operand, at = True, 0
        while at < len(self.tokens):
            token = self.tokens[at]
            if wants_operand:
                wants_operand = token[0] in ("(", "not", "!")
                if token[0] == "(":
                    opened.append(at)
                elif token[0] == "not" and self.expression[token.end() : token.end() + 1] == "(":
                    self._refuse(at, 'a space is missing after "not"')
                elif not wants_operand:
                    at = self._operand(at)
            elif token[0] == ")":
                if not opened:
                    self._refuse(at, 'this ")" closes no "("')
                opened.pop()
            elif token[0] in _JOINTS:
                wants_operand = True
            elif token[0] in _COMPARISONS:
                at = self._compared(at, "")
            else:
                self._refuse(at, f'"and" or "or" is missing before "{token[0]}"')
            at += 1
        if wants_operand:
            self._refuse(at, f'something is missing after "{self.tokens[-1][0]}"')
        if opened:
            self._refuse(opened[-1], 'this "(" isn\'t closed')
        return self.compared

    def _refuse(self, at: int, problem: str) -> NoReturn:
        place = self.tokens[at].start() if at < len(self.tokens) else len(self.expression.rstrip())
        refuse(self.expression, place, problem)

    def _text(self, at: int) -> str:
        return self.tokens[at][0] if at < len(self.tokens) else ""

    def _operand(self, at: int) -> int:
        """Check what begins with a token; returns the index of its last one."""
        word = self._text(at)
        if self._text(at + 1) in _COMPARISONS:
            is_word = word in NUMBER_WORDS | _NAMES
            return self._compared(at + 1, word) if is_word or word not in _OPERATORS | _FLAGS else at
        if word in _FLAGS:
            return at
        if word not in NUMBER_WORDS | _NAMES:
            self._unknown(at)
        values = list(takewhile(self._is_value, range(at + 1, len(self.tokens))))
        if not values:
            self._refuse(
                at, f'"{word}" needs a value, such as "{word} {"1" if word in NUMBER_WORDS else "CA"}"'
            )
        is_range = len(values) == 3 and self._text(values[1]) == "to"
        for value in values:
            if self._text(value) in _WORDS:
                self._refuse(value, f'"and" or "or" is missing before "{self._text(value)}"')
            if self._text(value) == "to" and not (is_range and value == values[1]):
                mend = f'"({word} 1 to 5 or {word} 10 to 20)"'
                self._refuse(value, f"a range stands alone; join several with or, as in {mend}")
            if self._text(value) != "to":
                self._value(value, word)
        return values[-1]

    def _is_value(self, at: int) -> bool:
        return self.tokens[at].lastgroup in ("quoted", "word") and self._text(at) not in _OPERATORS

    def _compared(self, at: int, word: str) -> int:
        """Check what follows a comparison of `word`, which may be a value."""
        if at + 1 == len(self.tokens):
            self._refuse(at + 1, f'something is missing after "{self._text(at)}"')
        if self._is_value(at + 1) and word in NUMBER_WORDS | _NAMES:
            self._value(at + 1, word)
        return at + 1

    def _value(self, at: int, word: str) -> None:
        text = self._text(at)
        is_quoted = self.tokens[at].lastgroup == "quoted"
        if word in _NAMES:
            if not is_quoted and not _is_plain(text):
                self._refuse(
                    at, f"names that aren't of letters and digits alone need quotes: {word} {quoted([text])}"
                )
            self.compared.append((word, text[1:-1] if is_quoted else text))
        elif not re.fullmatch(r"\d+\.?\d*|\.\d+", text):
            span = re.fullmatch(r"(\d+)[-:](\d+)", text)
            mend = f'; write "{word} {span[1]} to {span[2]}"' if span else ""
            mend = "; separate them by spaces" if "," in text else mend
            mend = ", counted from 0" if word == "chainid" else mend
            self._refuse(at, f'"{word}" takes numbers{mend}')

    def _unknown(self, at: int) -> NoReturn:
        word = self._text(at)
        problem = f"\"{word}\" isn't a word of mdtraj's selection language"
        close = get_close_matches(word.lower(), _WORDS, 1, 0.7)
        found = [kind for kind, known in self.names.items() if word.strip("'\"") in known]
        if word in _OPERATORS:
            problem = f'something is missing before "{word}"'
        elif word.lower() in _WORDS or word.lower() in _ALIASES or (close and not found):
            lower = word.lower()
            problem += f'; did you mean "{_ALIASES.get(lower, lower if lower in _WORDS else close[0])}"?'
        elif found:
            problem += f'; did you mean "{found[0]} {quoted([word])}"?'
        else:
            problem += '; for names, write "resname …" or "name …"'
        self._refuse(at, problem)


def _is_plain(text: str) -> bool:
    """Tell whether mdtraj reads a text as one name."""
    return re.fullmatch("[A-Za-z][A-Za-z0-9]*", text) is not None and text not in _OPERATORS | {"to"}
