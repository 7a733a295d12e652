#!/bin/sh
# Compares our matrix multiplication with NumPy's OpenBLAS on this machine, in turns, in one run.
# Usage: tools/compare_dgemm.sh [SIDE...]     (default 1024 2048 4096)
# Exit code 1 when a ratio is below MIN_RATIO (default 0.90). Wall-clock times mean little while
# others use the machine: run it alone, or with more TURNS (default 5).
set -eu
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-target}"
venv="$target/compare-venv"
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -c 'import numpy' 2>/dev/null || "$venv/bin/pip" install --quiet numpy
cargo build --release --quiet -p dayan-agent --example measure
exec "$venv/bin/python" tools/compare_dgemm.py "$target/release/examples/measure" "$@"
