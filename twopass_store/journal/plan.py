"""What a stage is going to do, fixed before it begins, and the fingerprint that tells plans apart."""

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from typing import Any, Self

from ..errors import CorruptChunkError

__all__ = ["Plan", "Product", "differences", "fingerprint", "pack_json", "unpack_json"]


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
    packed_metadata
        What `metadata` returns, compressed: the root's has the topology.
    """

    stage: str
    parameters: Mapping[str, Any]
    products: tuple[Product, ...]
    request: Mapping[str, Any]
    packed_metadata: str = ""

    @property
    def metadata(self) -> dict[str, str]:
        """The ``zarr.json`` of the group and the arrays that the stage made, by path, as they were written.

        Arrays are in it once the stage has finished. Damage to these files is mended from here.
        """
        return unpack_json(self.packed_metadata) if self.packed_metadata else {}

    def with_metadata(self, metadata: Mapping[str, str]) -> Self:
        """Return the plan with another `metadata`."""
        return replace(self, packed_metadata=pack_json(metadata))

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
        """Decode what `to_json` gave; raises a `CorruptChunkError` if that is damaged."""
        try:
            outer = json.loads(text)
            if _digest(outer["plan"]) != outer["digest"]:
                raise ValueError("its digest differs")
            fields = json.loads(outer["plan"])
            products = tuple(Product(**product) for product in fields.pop("products"))
            return cls(products=products, **fields)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise CorruptChunkError(f"A plan in the store's journal is damaged: {error}.") from error


def fingerprint(parameters: Mapping[str, Any]) -> str:
    """Return a digest of JSON values, equal for equal values whatever their order of keys."""
    return _digest(_canonical(parameters))


def differences(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """List (key, stored, asked) where two sets of parameters differ, in the order of the keys asked."""
    keys = [*asked, *(key for key in stored if key not in asked)]
    return [(key, stored.get(key), asked.get(key)) for key in keys if stored.get(key) != asked.get(key)]


def pack_json(value: object) -> str:
    """Return JSON values as compressed text."""
    return b64encode(zlib.compress(_canonical(value).encode())).decode()


def unpack_json(text: str) -> Any:
    """Return what `pack_json` was given."""
    return json.loads(zlib.decompress(b64decode(text)))


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=dict)


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()
