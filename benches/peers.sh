#!/usr/bin/env bash
# The same no-op tasks, one process each, through Dayan and through the peers that a package
# registry has: HyperQueue and Ray from PyPI, Slurm from Debian (as root, where apt may install
# it). In one run, one after the other, with the machine's spawn ceiling; then the ratios.
# TASKS (2000) tasks, SLOTS (40) at once, ALONE (40) single ones for the time from submission to
# start. A peer that cannot be installed is said to be left out.
set -euo pipefail
cd "$(dirname "$0")/.."
target="$(realpath "${CARGO_TARGET_DIR:-target}")"
export TASKS="${TASKS:-2000}" SLOTS="${SLOTS:-40}" ALONE="${ALONE:-40}"
venv="$target/peers-venv"
work="$(mktemp -d /tmp/peers.XXXXXX)"
# Slurm runs as a user of its own.
chmod 755 "$work"
lines="$work/lines"
trap 'bash benches/peers/slurm.sh stop "$work/slurm" 2> /dev/null; rm -rf "$work"' EXIT

peer() { # NAME COMMAND…
  local name="$1"
  shift
  "$@" > "$work/out" 2> "$work/err" && grep '^PEER' "$work/out" >> "$lines" && return
  echo "left out: $name ($(tail -n 1 "$work/err" | cut -c 1-200))"
}

pip() { # PACKAGE
  [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
  "$venv/bin/python" -c "import $1" 2> /dev/null || "$venv/bin/pip" install --quiet "$1"
}

slurm() {
  if ! command -v slurmctld > /dev/null; then
    [ "$(id -u)" = 0 ] || { echo "not installed, and not root" >&2; return 1; }
    # No service is to start by itself: there may be no systemd, and this one is ours.
    DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -qq -y --no-install-recommends \
      slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge >&2
  fi
  bash benches/peers/slurm.sh start "$work/slurm" >&2
  SLURM_CONF="$work/slurm/slurm.conf" python3 benches/peers/slurm_noop.py
}

cargo build --release --quiet -p dayan-cli -p dayan-benches
cpus="$(awk -v cores="$(nproc)" -v slots="$SLOTS" 'BEGIN { printf "%.3f", cores / slots }')"
echo "== no-op tasks: $TASKS, $SLOTS at once"
"$target/release/dayan-bench" noop --tasks "$TASKS" --cpus "$cpus" --alone "$ALONE" | tee "$work/dayan"
grep '^PEER' "$work/dayan" >> "$lines"
pip hyperqueue && peer HyperQueue "$venv/bin/python" benches/peers/hyperqueue_noop.py
pip ray && peer Ray "$venv/bin/python" benches/peers/ray_noop.py
peer Slurm slurm
echo
awk -F '\t' '
  BEGIN { printf "%-24s %9s %7s %10s %9s %9s %10s\n", "", "tasks/s", "of ours", "submit/s",
          "p50 ms", "p99 ms", "cpu ms/task" }
  NR == 1 { ours = $3 }
  { printf "%-24s %9d %6.2fx %10d %9.1f %9.1f %10.2f\n", $2, $3, $3 / ours, $4, $5, $6, $7 }
' "$lines"
