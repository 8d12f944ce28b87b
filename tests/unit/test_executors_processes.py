"""Worker processes: all results once, errors and deaths told, nobody left behind."""

import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

import streams
from twopass_store.errors import WorkerError
from twopass_store.executors import make_stream_executor
from twopass_store.executors.processes import ProcessExecutor

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_stream__gives_every_result_once(workers: int) -> None:
    found = list(make_stream_executor(workers=workers).stream(streams.squares, range(2)))
    assert sorted(found) == [-1, 0, 0, 1]


def test_stream__draws_tasks_as_they_are_wanted() -> None:
    drawn = []

    def tasks():
        for task in range(20):
            drawn.append(task)
            yield task

    finished = 0
    for _ in ProcessExecutor(2).stream(streams.squares, tasks()):
        # Two workers have one task each; what they have sent may wait here.
        finished += 1
    assert drawn == list(range(20))
    assert finished == 40


def test_stream__starts_no_more_processes_than_tasks_and_says_nothing(capfd) -> None:
    assert list(ProcessExecutor(3).stream(streams.warn_and_print, [7])) == ["__main__7"]
    assert capfd.readouterr() == ("", "")


def test_error__comes_after_what_was_done_and_says_where() -> None:
    found: list[int] = []
    with pytest.raises(ValueError, match="three") as caught:
        found.extend(ProcessExecutor(1).stream(streams.fail_at_three, range(9)))
    assert found == [0, 1, 2]
    assert "fail_at_three" in caught.value.__notes__[0]
    with pytest.raises(RuntimeError, match="UnpicklableError: of two"):
        list(ProcessExecutor(1).stream(streams.fail_unpicklably, [0]))


def test_killed_worker__gives_one_error_that_says_how_to_go_on() -> None:
    found: list[int] = []
    with pytest.raises(WorkerError, match=r"killed by signal 9.*resume.*--workers") as caught:
        found.extend(ProcessExecutor(1).stream(streams.die_at_three, range(9)))
    assert found == [0, 1, 2]
    assert "\n" not in str(caught.value) and caught.value.task == 3


def test_close__ends_the_workers_in_the_middle() -> None:
    with closing(ProcessExecutor(2).stream(streams.pids, [60.0, 60.0])) as stream:
        workers = [psutil.Process(next(stream)) for _ in range(2)]
    assert not any(worker.is_running() for worker in workers)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_driver_that_ends__takes_its_workers_along(number: signal.Signals) -> None:
    program = (
        "import streams\nfrom twopass_store.executors.processes import ProcessExecutor\n"
        "for pid in ProcessExecutor(2).stream(streams.pids, [60.0, 60.0]): print(pid, flush=True)"
    )
    driver = subprocess.Popen(
        [sys.executable, "-c", program], cwd=TESTS, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert driver.stdout is not None
    workers = [psutil.Process(int(driver.stdout.readline())) for _ in range(2)]
    for worker in workers:  # they leave signals to the driver
        worker.send_signal(signal.SIGINT)
        worker.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    assert all(worker.is_running() for worker in workers)
    driver.send_signal(number)
    _, said = driver.communicate(timeout=10)
    assert psutil.wait_procs(workers, timeout=5)[1] == []
    assert said.count("Traceback") == (number == signal.SIGINT)  # the driver's own
