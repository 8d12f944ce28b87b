import threading
import time

import pytest

from twopass_store.errors import ConfigError, MemoryBudgetError
from twopass_store.executors import (
    ThreadExecutor,
    available_cpus,
    available_memory,
    make_executor,
    memory_budget,
    require_within,
)
from twopass_store.executors.budget import _cgroup_limits, _slurm_limits


@pytest.mark.parametrize("workers", [1, 3])
def test_threads__give_every_result_once(workers):
    assert sorted(ThreadExecutor(workers).map_unordered(lambda x: x * x, range(50))) == [
        x * x for x in range(50)
    ]


@pytest.mark.parametrize("queued", [0, 2])
def test_threads__draw_tasks_no_further_than_they_say(queued):
    executor = ThreadExecutor(2, queued=queued)
    drawn = finished = 0

    def tasks():
        nonlocal drawn
        for task in range(40):
            drawn += 1
            assert drawn - finished <= executor.in_flight + 1
            yield task

    for _ in executor.map_unordered(lambda task: time.sleep(0.001), tasks()):
        finished += 1
    assert (drawn, finished) == (40, 40)


def test_threads__hand_out_what_runs_before_they_raise():
    release = threading.Event()

    def work(task):
        if task == 0:
            release.wait(10)
            return "kept"
        raise ValueError("bad task")

    results = []

    def consume():
        for result in ThreadExecutor(2).map_unordered(work, [0, 1, 2, 3]):
            results.append(result)

    threading.Timer(0.2, release.set).start()
    with pytest.raises(ValueError, match="bad task"):
        consume()
    assert results == ["kept"]


def test_budget__is_refused_with_the_figure():
    require_within(100 << 20, 100 << 20, stage="assign", mend="")
    with pytest.raises(MemoryBudgetError, match=r"assign needs 101MiB.*may use 100MiB.*--memory 101MiB"):
        require_within(100 << 20, (100 << 20) + 1, stage="assign", mend="Or less.")


def test_budget__is_half_of_what_is_there_unless_asked():
    assert memory_budget(7) == 7
    assert 0 < memory_budget(None) <= available_memory()
    assert available_cpus() >= 1


def test_available_memory__respects_slurm(monkeypatch):
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "100")
    assert available_memory() <= 100 << 20
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "0")
    assert list(_slurm_limits()) == []
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "10")
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "4")
    assert list(_slurm_limits()) == [40 << 20]


def test_available_memory__respects_control_groups_of_both_kinds(tmp_path):
    group = tmp_path / "jobs" / "mine"
    group.mkdir(parents=True)
    (tmp_path / "jobs" / "memory.max").write_text("1000\n")
    (tmp_path / "jobs" / "memory.current").write_text("400\n")
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("1\n")
    own = tmp_path / "cgroup"
    own.write_text("0::/jobs/mine\n")
    assert list(_cgroup_limits(tmp_path, own)) == [600]

    old = tmp_path / "memory" / "job"
    old.mkdir(parents=True)
    (old / "memory.limit_in_bytes").write_text("5000\n")
    (old / "memory.usage_in_bytes").write_text("1000\n")
    own.write_text("4:memory:/job\n3:cpu,cpuacct:/job\n")
    assert list(_cgroup_limits(tmp_path, own)) == [4000]
    assert list(_cgroup_limits(tmp_path, tmp_path / "nowhere")) == []


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:9", "localhost", "tls://localhost:9", "no.json", "empty.json"]
)
def test_scheduler_that_is_not_there__is_a_clear_error_at_once(address, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("twopass_store.executors.dask.CONNECT_SECONDS", 0.5)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.json").write_text("{}")
    made = make_executor(workers=1, scheduler=address, probe=str, note=print)
    with pytest.raises(ConfigError, match=f"No Dask scheduler answers at {address}"), made:
        pass
