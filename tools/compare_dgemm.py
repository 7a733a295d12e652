"""Prints GFLOP/s of our GEMM and of NumPy's, and their ratio, for one core and for all.

The two take turns, a few products each, so that a machine whose clock or whose neighbours change
treats both alike. Of each the best time counts: what disturbs only ever makes slower.
"""

import os
import subprocess
import sys

TURNS = int(os.environ.get("TURNS", "5"))
NUMPY = """
import sys, time
import numpy
precision, side, repetitions = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
kind = numpy.float64 if precision == "double" else numpy.float32
source = numpy.random.default_rng(1)
a, b = (source.random((side, side)).astype(kind) for _ in range(2))
c = numpy.empty_like(a)
numpy.matmul(a, b, out=c)
for _ in range(repetitions):
    start = time.perf_counter()
    numpy.matmul(a, b, out=c)
    print(time.perf_counter() - start)
"""


def best(command, threads):
    """The shortest of the times that a command prints."""
    environment = dict(os.environ, OPENBLAS_NUM_THREADS=str(threads))
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return min(float(line) for line in output.stdout.split())


def main():
    program, sides = sys.argv[1], [int(side) for side in sys.argv[2:]] or [1024, 2048, 4096]
    cores = len(os.sched_getaffinity(0))
    least = 9.0
    print(f"{'':10}{'side':>6}{'threads':>9}{'ours GF/s':>12}{'numpy GF/s':>12}{'ratio':>8}")
    for precision in ("double", "single"):
        for side in sides:
            repetitions = str(max(2, 3 * (2048 // side) ** 2))
            for threads in sorted({1, cores}):
                ours_command = [program, "--gemm", precision, str(side), str(threads), repetitions]
                numpy_command = [sys.executable, "-c", NUMPY, precision, str(side), repetitions]
                ours = numpy = 1e9
                for _ in range(TURNS):
                    ours = min(ours, best(ours_command, threads))
                    numpy = min(numpy, best(numpy_command, threads))
                work = 2 * side**3 / 1e9
                ratio = numpy / ours
                least = min(least, ratio)
                row = f"{work / ours:12.1f}{work / numpy:12.1f}{ratio:8.3f}"
                print(f"{precision:10}{side:6}{threads:9}{row}", flush=True)
    print(f"least ratio {least:.3f}")
    return 0 if least >= float(os.environ.get("MIN_RATIO", "0.90")) else 1


if __name__ == "__main__":
    sys.exit(main())
