"""No-op tasks through Ray: each a process, as elsewhere, so a remote function that runs one."""

import os
import subprocess
import tempfile
import time

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
import ray  # noqa: E402
from common import ALONE, SLOTS, TASKS, processor_seconds, report, started  # noqa: E402

folder = tempfile.mkdtemp()
ray.init(
    num_cpus=2,
    include_dashboard=False,
    logging_level="error",
    _node_ip_address="127.0.0.1",
    object_store_memory=100_000_000,
)


# A worker of Ray is an interpreter of its own: more of them than processors only cost memory.
@ray.remote(num_cpus=max(2 / SLOTS, 0.5))
def run(argv):
    subprocess.run(argv, check=True)


ray.get([run.remote(["/bin/true"]) for _ in range(20)])
before, begin = processor_seconds(), time.monotonic()
refs = [run.remote(["/bin/true"]) for _ in range(TASKS)]
submitting = time.monotonic() - begin
ray.get(refs)
seconds, processor = time.monotonic() - begin, processor_seconds() - before
latencies = []
for number in range(ALONE):
    path = f"{folder}/at-{number}"
    at = time.time_ns()
    run.remote(["/bin/sh", "-c", f"date +%s%N > {path}.new && mv {path}.new {path}"])
    latencies.append(started(path, at))
report(f"Ray {ray.__version__}", TASKS, seconds, submitting, processor, latencies)
