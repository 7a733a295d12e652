"""No-op tasks through HyperQueue: its server and worker as its package embeds them."""

import importlib.metadata
import os
import tempfile
import time

from common import ALONE, SLOTS, TASKS, processor_seconds, report, started
from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig

folder = tempfile.mkdtemp()
os.chdir(folder)
with LocalCluster() as cluster:
    cluster.start_worker(WorkerConfig(cores=SLOTS))
    client = cluster.client()
    job = Job()
    for _ in range(TASKS):
        job.program(["/bin/true"])
    before, begin = processor_seconds(), time.monotonic()
    submitted = client.submit(job)
    submitting = time.monotonic() - begin
    client.wait_for_jobs([submitted])
    seconds, processor = time.monotonic() - begin, processor_seconds() - before
    latencies = []
    for number in range(ALONE):
        path = f"{folder}/at-{number}"
        job = Job()
        job.program(["/bin/sh", "-c", f"date +%s%N > {path}.new && mv {path}.new {path}"])
        at = time.time_ns()
        client.submit(job)
        latencies.append(started(path, at))
    version = importlib.metadata.version("hyperqueue")
    report(f"HyperQueue {version}", TASKS, seconds, submitting, processor, latencies)
