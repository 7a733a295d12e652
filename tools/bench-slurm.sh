#!/usr/bin/env bash
# The Slurm engine beside a plain array and a loop of sbatch, on a real Slurm of this machine that
# is started for it: tools/bench-slurm.sh [TASKS [ROUNDS]]
set -euo pipefail
cd "$(dirname "$0")/.."

dir="$(mktemp -d)"
chmod 755 "$dir"
export LAB="$dir/lab" NODES="${NODES:-4}" CPN="${CPN:-16}" DBD="${DBD:-0}"
trap 'tools/slurm-lab.sh stop; rm -rf "$dir"' EXIT
cargo build --release --quiet -p dayan-engines --example slurm_rate
tools/slurm-lab.sh start
eval "$(tools/slurm-lab.sh env)"
echo "$NODES nodes of $CPN processors by their own account, $(nproc) in truth; load $(cut -d' ' -f1-3 /proc/loadavg)"
"${CARGO_TARGET_DIR:-target}/release/examples/slurm_rate" "$@"
