"""Read speed of a published store: eight threads, an S3 server on this machine, 20 ms for each request.

    python tests/benchmarks/bench_object_store.py [MiB]

Both the server and the proxy that waits run in processes of their own.
"""

import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import obstore
from obstore.store import from_url

sys.path.insert(0, str(Path(__file__).parents[1]))

from object_service import proxied
from shapes import write_shape, write_topology
from twopass_store import ingest_trajectories, publish_store
from twopass_store.partition import FrameRange
from twopass_store.store import Store, store_path

LATENCY = 0.02
READERS = 8
N_ATOMS = 3000


def serve(pipe: Any) -> None:
    """Run the S3 server."""
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    pipe.send(int(server.get_host_and_port()[1]))
    time.sleep(3600)


def delay(pipe: Any, port: int) -> None:
    """Run the proxy."""
    with proxied(port) as proxy:
        proxy.latency = LATENCY
        pipe.send(proxy.url)
        time.sleep(3600)


def main() -> None:
    """Publish a store, and read all its positions."""
    mib = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    spawn = get_context("spawn")
    ours, theirs = spawn.Pipe()
    started = [spawn.Process(target=serve, args=(theirs,), daemon=True)]
    started[0].start()
    port = ours.recv()
    started.append(spawn.Process(target=delay, args=(theirs, port), daemon=True))
    started[1].start()
    proxy = ours.recv()
    os.environ |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}
    os.environ |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ALLOW_HTTP": "true"}
    url = "s3://bucket/run.zarr"
    with tempfile.TemporaryDirectory() as folder:
        source, top = Path(folder) / "run.dcd", Path(folder) / "top.pdb"
        write_shape(source, n_frames=mib * 2**20 // (12 * N_ATOMS), n_atoms=N_ATOMS)
        write_topology(top, N_ATOMS)
        ingest_trajectories(Path(folder) / "run.zarr", source, top=top)
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("PUT", "/bucket")
        connection.getresponse().read()
        publish_store(Path(folder) / "run.zarr", url)
    os.environ["AWS_ENDPOINT_URL"] = proxy
    sizes = {each["path"]: each["size"] for batch in obstore.list(from_url(url)) for each in batch}
    encoded = sum(size for key, size in sizes.items() if key.startswith("position/c."))
    begin = time.perf_counter()
    store = Store.open(store_path(url, reads=True))
    opened = time.perf_counter() - begin
    n_frames, length = store.shape("position")[0], store.chunk_length("position")
    ranges = [FrameRange(start, min(start + length, n_frames)) for start in range(0, n_frames, length)]
    begin = time.perf_counter()
    with ThreadPoolExecutor(READERS) as pool:
        for _ in pool.map(store.read_positions, ranges):
            pass
    seconds = time.perf_counter() - begin
    print(f"opened in {opened * 1000:.0f} ms; {len(ranges)} chunks, {encoded / 2**20:.0f} MiB encoded")
    print(
        f"{READERS} readers at {LATENCY * 1000:.0f} ms: {encoded / 2**20 / seconds:.0f} MiB/s read, "
        f"{n_frames * N_ATOMS * 12 / 2**20 / seconds:.0f} MiB/s of positions"
    )
    for process in started:
        process.terminate()


if __name__ == "__main__":
    main()
