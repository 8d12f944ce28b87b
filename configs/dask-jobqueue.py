"""Distances and labels on Dask workers that SLURM starts: pip install 'twopass-store[dask]' dask-jobqueue.

    python configs/dask-jobqueue.py run.zarr

Run it where it may live until the end, such as in a job of one core. If it ends early, run it again.
"""

import subprocess
import sys

from dask_jobqueue import SLURMCluster
from distributed import Client

store = sys.argv[1]
# One worker process a job; its threads do one unit each, and share the leaders and the frames of the subset.
with SLURMCluster(cores=8, processes=1, memory="16GB", walltime="02:00:00") as cluster:
    cluster.scale(jobs=10)
    with Client(cluster) as client:
        client.wait_for_workers(1)  # the others join when SLURM starts them
    address = cluster.scheduler_address
    for stage in (["cluster", "--n-clusters", "20"], ["assign"]):
        command, *options = stage
        subprocess.run(["twopass", command, store, *options, "--scheduler", address], check=True)
