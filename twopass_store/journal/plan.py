"""What a stage is going to do, fixed before it begins, and the fingerprint that tells plans apart."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any, Self

from ..errors import CorruptChunkError

__all__ = ["MAX_CHUNKS", "Plan", "Product", "differences", "fingerprint"]


MAX_CHUNKS = 1 << 24
"""Of all products of a plan; its ledger then takes 128 MiB."""

_STAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,299}")
_PATH = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9_-]*/)*[A-Za-z0-9][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Product:
    """An array that a stage writes: its path in the store and the number of its chunks."""

    path: str
    n_chunks: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A stage's plan.

    Attributes
    ----------
    stage
        Name of the stage's journal, such as ``assign-default``.
    parameters
        All that determines the result and nothing else, as JSON values: the resolved parameters and the
        frames used. Workers, memory, codec and executor don't belong here.
    products
        The arrays that it writes, those of its units first.
    request
        What was asked for, before it was resolved; lets a repeated command see at once that all is done.
    """

    stage: str
    parameters: Mapping[str, Any]
    products: tuple[Product, ...]
    request: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """Digest of `parameters`."""
        return fingerprint(self.parameters)

    def to_json(self) -> str:
        """Encode it, with a digest of its own."""
        text = _canonical(asdict(self))
        return _canonical({"plan": text, "digest": _digest(text)})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Decode what `to_json` gave.

        Raises
        ------
        CorruptChunkError
            If the text is damaged.
        """
        try:
            outer = json.loads(text)
            if _digest(outer["plan"]) != outer["digest"]:
                raise ValueError("its digest differs")
            fields = json.loads(outer["plan"])
            products = tuple(Product(**product) for product in fields.pop("products"))
            plan = cls(products=products, **fields)
            _check(plan)
            return plan
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise CorruptChunkError(f"A plan in the store's journal is damaged: {error}.") from error


def fingerprint(parameters: Mapping[str, Any]) -> str:
    """Return a digest of JSON values, equal for equal values whatever their order of keys."""
    return _digest(_canonical(parameters))


def differences(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """List (key, stored, asked) where two sets of parameters differ, in the order of the keys asked."""
    keys = [*asked, *(key for key in stored if key not in asked)]
    return [(key, stored.get(key), asked.get(key)) for key in keys if stored.get(key) != asked.get(key)]


def _check(plan: Plan) -> None:
    """Refuse what no stage has planned: digests tell damage, but not who wrote them."""
    if not isinstance(plan.stage, str) or not _STAGE.fullmatch(plan.stage):
        raise ValueError("its stage is no name")
    if not isinstance(plan.parameters, dict) or not isinstance(plan.request, dict):
        raise ValueError("its parameters or its request are no table")
    for product in plan.products:
        if not isinstance(product.path, str) or not _PATH.fullmatch(product.path):
            raise ValueError("a product isn't an array of the store")
        if type(product.n_chunks) is not int or product.n_chunks < 0:
            raise ValueError(f"{product.path} has no number of chunks")
    if sum(product.n_chunks + 1 for product in plan.products) > MAX_CHUNKS:
        raise ValueError(f"it has more than {MAX_CHUNKS:,} chunks")
    if len({product.path for product in plan.products}) != len(plan.products):
        raise ValueError("it has a product twice")


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=dict)


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()
