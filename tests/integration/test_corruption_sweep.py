"""Every byte of every file flipped, every file cut short at every length and removed: it is found."""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import xarray as xr

from small_chunks import small_chunks
from small_stores import SMALL, files_of, make_small, replace
from twopass_store import open_results, verify_store
from twopass_store.errors import TwopassError
from twopass_store.integrity.checks import Check, Journals, checks_of, examine
from twopass_store.store import Store

MASKS = (0xFF, 0x01)
HARMLESS = "journal/"
"""Plans and ledgers have parts that say nothing: blanks, titles, settings of codecs."""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    with small_chunks(**SMALL):
        yield make_small(tmp_path_factory.mktemp("small"))


def read_all(store: Path) -> xr.Dataset | None:
    """Read all that our API reads of a store; None where it says that something is damaged."""
    try:
        opened = Store.open(store)
        for stage in opened.members("journal"):
            opened.journal(stage)
        scans = {
            name: ("cut", opened.read(f"scans/{key}/{name}"))
            for key in opened.members("scans")
            for name in opened.members(f"scans/{key}")
        }
        return xr.merge([open_results(store).load(), xr.Dataset(scans)])
    except TwopassError:
        return None


def damaged(content: bytes, offsets: list[int], lengths: list[int]) -> Iterator[bytes | None]:
    for offset in offsets:
        for mask in MASKS:
            yield content[:offset] + bytes([content[offset] ^ mask]) + content[offset + 1 :]
    yield from (content[:length] for length in lengths)
    yield None


def put(file: Path, content: bytes | None) -> None:
    if content is None:
        file.unlink()
    else:
        replace(file, content)


def sweep(store: Path, *, per_file: int | None, full_every: int) -> Counter[str]:
    """Damage the store in each way, in turn; returns how often what came out."""
    whole, expected = files_of(store), read_all(store)
    assert expected is not None
    checks: dict[str, list[Check]] = {}
    for check in checks_of(Journals(store)):
        checks.setdefault(check.file, []).append(check)
    assert checks.keys() == whole.keys()
    rng, counts = random.Random("sweep"), Counter()
    n_tried = 0
    for path, content in sorted(whole.items()):
        offsets = list(range(len(content)))
        lengths = list(range(len(content)))
        if per_file is not None:
            offsets = rng.sample(offsets, min(per_file, len(offsets)))
            lengths = rng.sample(lengths, min(2, len(lengths)))
        for bad in damaged(content, offsets, lengths):
            put(store / path, bad)
            journals = Journals(store)
            found = [damage for check in checks[path] if (damage := examine(journals, check)[0])]
            counts["tried"] += 1
            counts["found"] += bool(found)
            assert all(damage.file == path for damage in found)
            if not found:
                assert path.startswith(HARMLESS), (path, bad)
                counts[f"harmless {path.rpartition('/')[2]} of {path.split('/')[-2]}"] += 1
            n_tried += 1
            if not found or n_tried % full_every == 0:
                listed = verify_store(store, workers=1).damage
                assert bool(found) == any(damage.file == path for damage in listed)
                read = read_all(store)
                counts["told by the API"] += read is None
                counts["read the same"] += read is not None
                if read is not None:
                    xr.testing.assert_identical(read, expected)
        replace(store / path, content)
    assert verify_store(store).is_whole
    return counts


def test_damage_anywhere__is_found_and_never_read(small):
    counts = sweep(small, per_file=1, full_every=23)
    assert counts["tried"] > 600 and counts["told by the API"] > 5
    assert counts["found"] >= 0.97 * counts["tried"]


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_damage_everywhere__is_found_and_never_read(small):
    counts = sweep(small, per_file=None, full_every=499)
    print(counts)
    assert counts["found"] >= 0.97 * counts["tried"]
