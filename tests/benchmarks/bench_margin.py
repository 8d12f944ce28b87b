"""CPU time of margins against that of labels, distances only, on one thread: one JSON line a case.

Run it with: OMP_NUM_THREADS=1 python tests/benchmarks/bench_margin.py
"""

import json
import statistics
import time
from collections.abc import Callable

import numpy as np

from twopass_store.rmsd import nearest_leaders, nearest_other_leaders, prepare_leaders

CASES = [(22, 16, 8192), (22, 100, 4096), (22, 500, 2048), (300, 16, 1024), (300, 100, 1024), (300, 500, 512)]
N_STATES = 20
REPEATS = 5


def cpu_seconds(call: Callable[[], object]) -> float:
    call()
    seconds = []
    for _ in range(REPEATS):
        begin = time.process_time()
        call()
        seconds.append(time.process_time() - begin)
    return statistics.median(seconds)


def main() -> None:
    rng = np.random.default_rng(0)
    for n_atoms, n_leaders, n_frames in CASES:
        states = rng.normal(size=(N_STATES, n_atoms, 3)) * 0.6

        def near(state: np.ndarray, states: np.ndarray = states, n_atoms: int = n_atoms) -> np.ndarray:
            return (states[state] + rng.normal(size=(len(state), n_atoms, 3)) * 0.15).astype(np.float32)

        leader_state = rng.integers(N_STATES, size=n_leaders)
        leaders = prepare_leaders(near(leader_state))
        leader_label = (leader_state + 1).astype(np.int32)
        frames = near(np.repeat(rng.integers(N_STATES, size=n_frames // 8), 8))
        label = leader_label[nearest_leaders(frames, leaders).index]
        labels = cpu_seconds(lambda f=frames, y=leaders: nearest_leaders(f, y))
        margins = cpu_seconds(
            lambda f=frames, y=leaders, of=leader_label, own=label: nearest_other_leaders(f, y, of, own)
        )
        case = {"benchmark": "margin", "atoms": n_atoms, "leaders": n_leaders, "frames": n_frames}
        n_pairs = n_frames * n_leaders
        print(
            json.dumps(
                {
                    **case,
                    "labels_ns_a_pair": round(1e9 * labels / n_pairs, 2),
                    "margins_ns_a_pair": round(1e9 * margins / n_pairs, 2),
                    "ratio": round(margins / labels, 2),
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
