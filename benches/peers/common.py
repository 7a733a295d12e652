"""What the peers' measurements share: processor time of the whole machine, latencies, the table."""

import os
import statistics
import time

TASKS = int(os.environ.get("TASKS", "2000"))
# As many tasks at once as the pool of Dayan has room for in the same run.
SLOTS = int(os.environ.get("SLOTS", "40"))
ALONE = int(os.environ.get("ALONE", "40"))


def processor_seconds():
    """Busy processor time of the machine since it started: nothing a peer starts escapes it."""
    with open("/proc/stat", encoding="ascii") as stat:
        fields = [int(word) for word in stat.readline().split()[1:]]
    idle = fields[3] + fields[4]
    return (sum(fields[:8]) - idle) / os.sysconf("SC_CLK_TCK")


def started(path, submitted):
    """Microseconds from a submission until its task wrote the time to a file."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with open(path, encoding="ascii") as file:
                text = file.read().strip()
            if text:
                return (int(text) - submitted) // 1000
        except FileNotFoundError:
            pass
        time.sleep(0.001)
    raise SystemExit(f"no task wrote {path}")


def report(name, tasks, seconds, submitting, processor, latencies):
    """One line of the table; tools/bench-peers.sh reads it."""
    latencies = sorted(latencies)
    p50 = statistics.median(latencies) / 1000
    p99 = latencies[min(len(latencies) - 1, len(latencies) * 99 // 100)] / 1000
    print(
        f"PEER\t{name}\t{tasks / seconds:.0f}\t{tasks / max(submitting, 1e-6):.0f}"
        f"\t{p50:.1f}\t{p99:.1f}\t{processor / tasks * 1000:.2f}",
        flush=True,
    )
