#!/usr/bin/env bash
# Kills what stands between a job and its tasks on a Slurm cluster, at random under load, and counts what
# became of it.
#
#   tools/slurm-rounds.sh [ROUNDS]      20 of each kind unless told; a round takes about ten seconds
#
# An exchange, an agent with --engine slurm and a Slurm of its own with accounting (tools/slurm-lab.sh).
# In each round an array of TASKS elements is submitted, and while it and those before it run, one of
# KINDS is killed with SIGKILL and started again: the agent, the server, slurmctld, slurmdbd, a slurmd.
# Every attempt writes down when it began and ended. At the end: every job has succeeded; every attempt ran
# once, none beside another of its task; every task succeeded once and is on the bill once for each attempt
# that ran; nothing is held any more; the books balance. Needs root, a built `dayan` (DAYAN=path) and
# what the lab needs. SEED repeats a choice of moments.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds="${1:-20}"
tasks="${TASKS:-12}"
read -ra kinds <<< "${KINDS:-agent server slurmctld slurmdbd slurmd}"
dayan="$(realpath "${DAYAN:-${CARGO_TARGET_DIR:-target}/debug/dayan}")"
work="$(mktemp -d)"
chmod 755 "$work"
export LAB="$work/lab" NODES="${NODES:-2}" CPN="${CPN:-8}" DBD=1
export HOME="$work/home" XDG_CONFIG_HOME="$work/config" DAYAN_LOG="${DAYAN_LOG:-warn}"
mkdir -p "$HOME"
RANDOM="${SEED:-1}"

say() { printf '%s %s\n' "$(date +%T)" "$*"; }
pause() { read -rt "$1" <> <(:) || true; }

finish() {
  local name
  for name in agent server; do
    [ ! -f "$work/$name.pid" ] || kill "$(cat "$work/$name.pid")" 2> /dev/null || true
  done
  wait 2> /dev/null || true
  tools/slurm-lab.sh stop > /dev/null 2>&1 || true
  if [ "${KEEP:-}" ]; then say "kept: $work"; else rm -rf "$work"; fi
}
trap finish EXIT

wait_for() { # WHAT COMMAND...
  local what="$1"
  shift
  for _ in $(seq 900); do "$@" > /dev/null 2>&1 && return; pause 0.1; done
  say "gave up waiting for $what"
  tail -n 20 "$work"/*.log >&2
  exit 1
}

server() {
  "$dayan" serve --listen "127.0.0.1:$port" --usage-every 1s --data "$work/exchange" >> "$work/server.log" 2>&1 &
  echo $! > "$work/server.pid"
}
agent() {
  "$dayan" agent --url "$url" "$@" --data "$work/agent" >> "$work/agent.log" 2>&1 &
  echo $! > "$work/agent.pid"
}
shoot() { # NAME
  local pid
  pid="$(cat "$work/$1.pid")"
  kill -9 "$pid"
  wait "$pid" 2> /dev/null || true
}

tools/slurm-lab.sh start
eval "$(tools/slurm-lab.sh env)"
port=$(( 20000 + RANDOM % 20000 ))
url="http://127.0.0.1:$port"
server
wait_for "the server" test -s "$work/exchange/operator.token"
log_in() { "$dayan" login "$url" --token - < "$work/exchange/operator.token"; }
wait_for "the server" log_in
for org in site buyer; do "$dayan" org create "$org" > /dev/null; done
"$dayan" provider apply site --org site > /dev/null
"$dayan" provider verify site > /dev/null
"$dayan" provider activate site > /dev/null
"$dayan" org deposit buyer "50000.00 CNY" --reference rounds > /dev/null
"$dayan" project create buyer/rounds > /dev/null
join="$("$dayan" provider invite site -o json | grep -oE 'dyj1[^"]*' | head -n 1)"
agent --join "$join" --engine slurm --site "Gui'an" --pool cluster
is_active() { "$dayan" pools | grep cluster | grep -q active; }
wait_for "the pool" is_active
"$dayan" offer create cluster --core-hour 0.12 > /dev/null

# The file's lines are appended by many at once; each is shorter than what a kernel writes at once.
cat > "$work/job.yaml" << JOB
version: 1
name: rounds
type: batch
project: buyer/rounds
array: {range: 1-$tasks}
resources: {cpus: 1, memory: 32MB, time: 10m}
retry: {max: 5, when: [node_failure, site_lost]}
run: |
  echo "\$DAYAN_JOB \$DAYAN_TASK \$DAYAN_ATTEMPT began \$(date +%s%N)" >> $work/ran
  sleep 2
  echo "\$DAYAN_JOB \$DAYAN_TASK \$DAYAN_ATTEMPT ended \$(date +%s%N)" >> $work/ran
JOB
: > "$work/ran"

# What an operator does for a controller that was killed: see tools/slurm-lab.sh.
heal() { tools/slurm-lab.sh heal > /dev/null 2>&1 || true; }

submit() {
  local made
  for _ in $(seq 100); do
    made="$("$dayan" submit "$work/job.yaml" -o json 2> /dev/null | grep -oE 'job_[0-9a-z]+' | head -n 1)" || made=""
    [ -z "$made" ] || { echo "$made"; return; }
    pause 0.2
  done
  return 1
}

# Each kind as often, in an order that the seed gives.
order="$(for kind in "${kinds[@]}"; do for _ in $(seq "$rounds"); do echo "$RANDOM $kind"; done; done |
  sort -n | cut -d' ' -f2)"
all="$(wc -l <<< "$order")"
declare -A killed
jobs=()
round=0
for kind in $order; do
  round=$(( round + 1 ))
  job="$(submit)"
  jobs+=("$job")
  pause "$(( RANDOM % 3 )).$(( RANDOM % 10 ))"
  what="$kind"
  case "$kind" in
    agent) shoot agent; pause "0.$(( RANDOM % 10 ))"; agent --measure off ;;
    server) shoot server; pause "0.$(( RANDOM % 10 ))"; server ;;
    slurmctld | slurmdbd)
      tools/slurm-lab.sh kill "$kind"
      pause "$(( RANDOM % 3 )).$(( RANDOM % 10 ))"
      tools/slurm-lab.sh revive "$kind"
      [ "$kind" = slurmdbd ] || { pause 1; heal; }
      ;;
    slurmd)
      what="slurmd.n$(( 1 + RANDOM % NODES ))"
      tools/slurm-lab.sh kill "$what"
      pause "$(( RANDOM % 3 )).$(( RANDOM % 10 ))"
      tools/slurm-lab.sh revive "$what"
      ;;
  esac
  killed[$kind]=$(( ${killed[$kind]:-0} + 1 ))
  say "round $round of $all: killed $what under $job"
  [ $(( round % 5 )) != 0 ] || heal
done

say "waiting for $(( all * tasks )) tasks"
wait_for "the server" "$dayan" pools
state_of() {
  "$dayan" show "$1" -o json 2> /dev/null |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["state"])' 2> /dev/null || echo unknown
}
for job in "${jobs[@]}"; do
  for look in $(seq 600); do
    case "$(state_of "$job")" in succeeded | failed | cancelled) break ;; esac
    [ $(( look % 10 )) != 0 ] || heal
    pause 0.5
  done
done
for job in "${jobs[@]}"; do "$dayan" show "$job" -o json; done > "$work/shown.json"
"$dayan" invoice ls -o json > "$work/invoices.json"
for id in $(python3 -c 'import json, sys; print(*[i["id"] for i in json.load(open(sys.argv[1]))])' "$work/invoices.json"); do
  "$dayan" invoice get "$id" -o json
done > "$work/bills.json"
verdict=0
python3 - "$work" "$tasks" << 'PY' || verdict=1
import collections, json, sys

work, want = sys.argv[1], int(sys.argv[2])

def documents(path):
    text, decoder, at = open(path).read(), json.JSONDecoder(), 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        value, at = decoder.raw_decode(text, at)
        yield value

ran, wrong = collections.defaultdict(dict), []
for line in open(f"{work}/ran"):
    job, task, attempt, what, at = line.split()
    times = ran[(job, int(task), int(attempt))]
    if what in times:
        wrong.append(f"{job}.{task}.{attempt} {what} twice")
    times[what] = int(at)

billed = collections.Counter(
    line["attempt"] for bill in documents(f"{work}/bills.json") for line in bill["lines"])
for attempt, count in billed.items():
    if count > 1:
        wrong.append(f"{attempt} is on the bill {count} times")

ends, jobs = collections.Counter(), 0
for job in documents(f"{work}/shown.json"):
    jobs += 1
    if job["state"] != "succeeded" or job["tasks"]["succeeded"] != want:
        wrong.append(f"{job['id']} is {job['state']}: {job['tasks']}")
    if float(job["money"]["held"]) != 0:
        wrong.append(f"{job['id']} still holds {job['money']['held']}")
    ends.update(a["state"] for a in job["attempts"])
    for a in job["attempts"]:
        times = ran.get((job["id"], a["task"], a["attempt"]), {})
        if a["state"] == "succeeded":
            if set(times) != {"began", "ended"}:
                wrong.append(f"{job['id']}.{a['task']}.{a['attempt']} succeeded and ran {times}")
            if billed[f"{job['id']}/{a['task']}.{a['attempt']}"] != 1:
                wrong.append(f"{job['id']}.{a['task']}.{a['attempt']} is not on the bill")
    for task in range(want):
        mine = [a for a in job["attempts"] if a["task"] == task]
        if sum(a["state"] == "succeeded" for a in mine) != 1:
            wrong.append(f"{job['id']}.{task}: {[a['state'] for a in mine]}")
        spans = sorted((t["began"], t.get("ended")) for (j, n, _), t in ran.items()
                       if (j, n) == (job["id"], task) and "began" in t)
        for (_, ended), (began, _) in zip(spans, spans[1:]):
            if ended is not None and began < ended:
                wrong.append(f"{job['id']}.{task}: two attempts ran side by side")
more = sum(1 for key in ran) - jobs * want
print(f"jobs: {jobs}; attempts by their ends: {dict(ends)}; attempts beyond one per task that ran: {more}")
print(f"lines on the bills: {sum(billed.values())}")
for finding in wrong[:40]:
    print("WRONG:", finding)
sys.exit(1 if wrong else 0)
PY
"$dayan" ledger check -o json | grep -oE '"balanced": ?(true|false)' || verdict=1
for kind in "${!killed[@]}"; do echo "killed $kind: ${killed[$kind]} times"; done | sort
[ "$verdict" = 0 ] && say "nothing lost, nothing run twice, billed once" || say "something is wrong"
exit "$verdict"
