"""Which units have to be done again where some of their files are damaged."""

from collections.abc import Iterable, Sequence

from ..ingest.origins import Origins
from ..journal import StageJournal
from ..partition import FrameRange
from ..store import spec_at
from .checks import Journals
from .damage import Damage
from .mends import mend_of

__all__ = ["discarded", "source_files"]

Chunks = set[tuple[str, int]]  # path of the array, and index


def discarded(
    journals: Journals, journal: StageJournal, damage: Iterable[Damage]
) -> tuple[set[str], Chunks, Chunks]:
    """Return what has to be discarded for a stage to make what is damaged anew.

    Arrays (paths) that are removed whole, chunks whose files are removed, and chunks of which the ledger has
    no entry any more.
    """
    stage = journal.plan.stage
    n_chunks = {product.path: product.n_chunks for product in journal.plan.products}
    arrays = {each.path for each in damage if each.kind == "metadata"}
    files = {(each.path, each.chunk) for each in damage if each.chunk is not None and each.path not in arrays}
    entries = files | {(path, chunk) for path in arrays for chunk in range(n_chunks[path])}
    if stage == "ingest":
        entries |= _positions_of(journals, n_chunks["position"], entries)
    if stage.startswith(("cover-", "assign-", "margin-")):
        # Frames before an append keep the values that their chunk has, unless it is gone: so all of it goes.
        layouts = [layout for path in n_chunks if (layout := journals.layout(stage, path)) is not None]
        length = layouts[0].file_length if layouts else 1
        edge = int(journal.plan.request.get("covered", 0)) // length
        if edge in {chunk for _, chunk in entries}:
            entries |= {(path, edge) for path in n_chunks}
            files |= {(path, edge) for path in n_chunks if path not in arrays}
    return arrays, files, entries


def _positions_of(journals: Journals, n_chunks: int, entries: Chunks) -> Chunks:
    """Return the chunks of positions whose frames have values in other chunks that are discarded.

    What a file says of a frame beside its positions is read with these.
    """
    positions = journals.layout("ingest", "position")
    found = set()
    for path, chunk in entries:
        spec = spec_at(path)
        if path == "position" or spec is None or spec.dims[0] != "frame":
            continue
        layout = journals.layout("ingest", path)
        if layout is None or positions is None:
            found |= {("position", each) for each in range(n_chunks)}
            continue
        start, stop = layout.elements(chunk)
        length = positions.file_length
        found |= {("position", each) for each in range(start // length, -(-stop // length))}
    return found


def source_files(journals: Journals, damage: Sequence[Damage]) -> tuple[str, ...]:
    """List the source files that are needed to make what is damaged of an ingest anew."""
    journal = journals.get("ingest")
    origins = None if journal is None else Origins.of(journal.plan)
    if origins is None:
        return ()
    needed: set[int] = set()
    for each in damage:
        if each.stage != "ingest" or each.kind not in ("chunk", "metadata"):
            continue
        if each.dimension is None and mend_of(journals, each).how != "write":
            needed |= set(range(len(origins.files)))
        elif each.dimension == "frame" and each.start is not None and each.stop is not None:
            needed |= origins.files_of(FrameRange(each.start, each.stop))
    return tuple(str(origins.files[index].info["path"]) for index in sorted(needed))
