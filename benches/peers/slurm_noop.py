"""No-op tasks through Slurm: an array of them, on the daemons that slurm.sh has started."""

import subprocess
import tempfile
import time

from common import ALONE, TASKS, processor_seconds, report, started


def output(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


folder = tempfile.mkdtemp()
subprocess.run(["chmod", "777", folder], check=True)
# Slurm takes seconds for a hundred of them: a tenth shows its rate.
tasks = max(TASKS // 10, 100)
before, begin = processor_seconds(), time.monotonic()
common = ["--parsable", "--output=/dev/null", "--chdir=/tmp"]
output("sbatch", *common, f"--array=0-{tasks - 1}", "--wrap=/bin/true")
submitting = time.monotonic() - begin
while output("squeue", "-h", "-o", "%i"):
    time.sleep(0.05)
seconds, processor = time.monotonic() - begin, processor_seconds() - before
latencies = []
for number in range(min(ALONE, 10)):
    path = f"{folder}/at-{number}"
    wrap = f"--wrap=date +%s%N > {path}.new && mv {path}.new {path}"
    at = time.time_ns()
    output("sbatch", *common, wrap)
    latencies.append(started(path, at))
report(output("sinfo", "--version").replace("slurm-wlm", "Slurm"), tasks, seconds, submitting,
       processor, latencies)
