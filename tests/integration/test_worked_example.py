"""MDTraj's worked example of two-pass clustering, through the command."""

import numpy as np

from twopass_store import open_results

SUBSET_LABELS = [2, 3, 3, 3, 1, 1, 3, 2, 1, 2, 3, 3, 3, 2, 2, 2, 2, 2, 1, 1]
LABELS = """
2 3 3 3 3 3 3 3 3 3 3 3 3 2 2 3 2 2 2 1 1 1 1 1 1 1 1 1 1 1 3 2 3 2 2 2 2
1 1 1 1 1 1 1 1 2 2 2 2 2 3 3 3 2 2 2 2 3 3 3 3 3 3 2 2 2 2 2 2 2 2 3 3 2
2 2 2 2 2 2 2 2 3 2 2 2 2 2 2 1 1 1 1 1 1 1 1 1 1 1
"""


def test_worked_example__gives_exactly_the_printed_labels(ala2_h5, tmp_path, twopass):
    twopass("ingest", "run.zarr", ala2_h5, "--select", "all")
    common = ["--select", "all", "--stride", 5, "--linkage", "ward", "--n-clusters", 3]
    common += ["--label-order", "linkage"]
    leaders = ["--linkage-input", "rows", "--leader-frames", "20,25,65,85,5,60"]
    twopass("cluster", "run.zarr", *common, *leaders)
    twopass("assign", "run.zarr")
    with open_results(tmp_path / "run.zarr") as results:
        assert results.subset_label.values.tolist() == SUBSET_LABELS
        assert results.subset_frame.values.tolist() == list(range(0, 100, 5))
        assert results.leader_frame.values.tolist() == [20, 25, 65, 85, 5, 60]
        assert results.leader_label.values.tolist() == [1, 1, 2, 2, 3, 3]
        assert results.label.values.tolist() == [int(label) for label in LABELS.split()]
        assert (results.label_status.values == 1).all()

    # The right input, the distances themselves, moves one frame. The subset's distances are reused.
    notes = twopass("cluster", "run.zarr", "--name", "condensed", *common).stderr
    assert "distances of this subset are there already" in notes
    with open_results(tmp_path / "run.zarr", "condensed") as results:
        differs = np.flatnonzero(results.subset_label.values != SUBSET_LABELS)
        assert differs.tolist() == [14]
