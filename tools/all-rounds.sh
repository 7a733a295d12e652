#!/usr/bin/env bash
# Rounds of kills on every engine that this machine has what it takes for: `make rounds N=20`.
#
#   tools/all-rounds.sh [ROUNDS]      of each kind, 20 unless told: an hour or two
#
# Builds what they need. Says of each engine what was seen, and ends with 1 where something was wrong.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds="${1:-20}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
cargo build -p dayan-cli --features kubernetes
cargo build -p dayan-engines --features kubernetes --example kube_lab
status=0
here() { # ENGINE PROGRAMS...
  local engine="$1" name
  shift
  for name in "$@"; do
    command -v "$name" > /dev/null || { echo "SKIPPED: $engine (no $name here)"; return 1; }
  done
}
play() { # WHAT COMMAND...
  echo "== $1"
  shift
  "$@" || { echo "== something is wrong"; status=1; }
}
if [ "$(id -u)" = 0 ]; then
  ! here slurm slurmctld slurmd slurmdbd || play slurm tools/slurm-rounds.sh "$rounds"
  ! here podman podman crun busybox || play podman tools/container-rounds.sh podman "$rounds"
  ! here docker dockerd docker containerd runc busybox || play docker tools/container-rounds.sh docker "$rounds"
else
  echo "SKIPPED: slurm, podman and docker (their labs need root)"
fi
play kubernetes tools/kube-rounds.sh "$rounds"
exit "$status"
