#!/usr/bin/env bash
# End to end: no-op tasks through an exchange, an agent and a real Slurm of this machine, beside one
# plain array of as many on the same cluster: tools/bench-slurm-exchange.sh [TASKS [ROUNDS]]
# Both are timed from the submission to the end of the last task, one after the other in each round, and the
# order changes from round to round. The controller's count of clients' requests (`sdiag`) is shown for each,
# and the processor time of server and agent. A quarter of a second apart the plain array is asked whether it
# is over. AHEAD is the agent's --slurm-ahead.
set -euo pipefail
cd "$(dirname "$0")/.."

tasks="${1:-1000}" rounds="${2:-2}"
cargo build --release --quiet -p dayan-cli
dir="$(mktemp -d)"
chmod 755 "$dir"
export LAB="$dir/lab" NODES="${NODES:-4}" CPN="${CPN:-16}" DBD="${DBD:-0}"
export HOME="$dir/home"
mkdir -p "$HOME"
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2> /dev/null || true; done
  wait 2> /dev/null || true
  tools/slurm-lab.sh stop > /dev/null 2>&1 || true
  rm -rf "$dir"
}
trap finish EXIT

export PATH="$PWD/${CARGO_TARGET_DIR:-target}/release:$PATH"
tools/slurm-lab.sh start
eval "$(tools/slurm-lab.sh env)"

port=$(( 20000 + RANDOM % 20000 ))
url="http://127.0.0.1:$port"
dayan serve --data "$dir/exchange" --listen "127.0.0.1:$port" > "$dir/serve.log" 2>&1 &
pids+=("$!")
wait_for() {
  for _ in $(seq 600); do "$@" > /dev/null 2>&1 && return; read -rt 0.1 <> <(:) || true; done
  echo "gave up waiting for: $*" >&2
  tail -n 20 "$dir"/*.log >&2
  exit 1
}
wait_for test -s "$dir/exchange/operator.token"
wait_for dayan login "$url" --token - < "$dir/exchange/operator.token"
dayan org create site > /dev/null
dayan provider apply site --org site > /dev/null
dayan provider verify site 2> /dev/null
dayan provider activate site 2> /dev/null
token="$(dayan provider invite site 2> /dev/null)"
dayan agent --engine slurm --url "$url" --join "$token" --site Guiyang --pool cluster \
  --slurm-ahead "${AHEAD:-100}" --data "$dir/agent" > "$dir/agent.log" 2>&1 &
pids+=("$!")
active() { dayan pools | grep -q ' active '; }
wait_for active
dayan offer create cluster --core-hour 0.12 > /dev/null
dayan org create buyer > /dev/null
dayan org deposit buyer "100000.00 CNY" --reference bench 2> /dev/null
dayan project create buyer/bench > /dev/null
cat > "$dir/job.yaml" << JOB
version: 1
name: noop
type: batch
project: buyer/bench
array: {range: 1-$tasks}
resources: {cpus: 1, memory: 16MB, time: 10m}
run: /bin/true
JOB

# What clients ask: submissions and looks; not what the nodes tell.
requests() {
  sdiag | awk '/REQUEST_(SUBMIT_BATCH_JOB|JOB_|NODE_INFO|PARTITION_INFO|KILL_JOB)/ && /count:/ {
    sub(/^.*count:/, ""); n += $1 } END { print n + 0 }'
}
seconds() { date +%s.%N; }
report() { # what, seconds, requests
  awk -v what="$1" -v took="$2" -v rpc="$3" -v n="$tasks" \
    'BEGIN { printf "%-14s %7.1f tasks/s  %6.2f s  %d requests\n", what, n / took, took, rpc }'
}
echo "$NODES nodes of $CPN processors by their own account, $(nproc) in truth; load $(cut -d' ' -f1-3 /proc/loadavg)"
# Processor time of server and agent so far, in seconds.
own_cpu() { awk '{ n += $14 + $15 } END { print n / 100 }' "/proc/${pids[0]}/stat" "/proc/${pids[1]}/stat"; }
plain() {
  local begun job
  sdiag --reset > /dev/null
  begun="$(seconds)"
  job="$(sbatch --parsable --output /dev/null --array "1-$tasks" --cpus-per-task 1 --mem 16 --time 10 \
    --chdir "$dir" --wrap /bin/true)"
  # `sbatch --wait` looks seconds apart.
  while [ -n "$(squeue --noheader --jobs "$job" 2> /dev/null)" ]; do read -rt 0.25 <> <(:) || true; done
  plain_took="$(awk -v from="$begun" -v to="$(seconds)" 'BEGIN { print to - from }')"
  report "plain array" "$plain_took" "$(requests)"
}
ours() {
  local begun cpu
  sdiag --reset > /dev/null
  cpu="$(own_cpu)"
  begun="$(seconds)"
  dayan submit "$dir/job.yaml" --wait -o json 2> /dev/null > "$dir/submitted.json"
  # A wait looks seconds apart: when the exchange had booked the last end it says itself.
  dayan show "$(grep -oE 'job_[0-9a-z]+' "$dir/submitted.json" | head -n 1)" -o json > "$dir/shown.json"
  ours_took="$(python3 - "$dir/shown.json" "$begun" "$tasks" << 'PY'
import datetime, json, sys
job = json.load(open(sys.argv[1]))
assert job["state"] == "succeeded" and job["tasks"]["succeeded"] == int(sys.argv[3]), job["tasks"]
ends = [a["ended_at"] for a in job["attempts"]]
last = max(datetime.datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp() for at in ends)
print(last - float(sys.argv[2]))
PY
)"
  report "through dayan" "$ours_took" "$(requests)"
  awk -v before="$cpu" -v after="$(own_cpu)" -v n="$tasks" \
    'BEGIN { printf "  server and agent: %.1f ms of a processor per task\n", (after - before) / n * 1000 }'
}
for round in $(seq "$rounds"); do
  if [ $(( round % 2 )) = 1 ]; then plain; ours; else ours; plain; fi
  awk -v plain="$plain_took" -v ours="$ours_took" \
    'BEGIN { printf "  the way through dayan reaches %.0f %% of the plain array\n", 100 * plain / ours }'
done
