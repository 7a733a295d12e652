#!/usr/bin/env bash
# Kills what stands between a job and its containers, at random, and counts what became of it.
#
#   tools/podman-rounds.sh [ROUNDS]      20 of each kind unless told; a round takes about ten seconds
#
# An exchange, an agent with --engine podman and a podman of its own (tools/podman-lab.sh). In each
# round an array of TASKS elements is submitted, and while it runs one of KINDS is killed with SIGKILL and
# started again: the agent, the server, podman's service, the keeper of containers. At the end: every
# job has succeeded, every element ran once per attempt, every attempt that succeeded is on the bill once
# and no attempt twice, no container is left, and the books balance. Needs root, a built `dayan` (DAYAN=path), and what the lab needs.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds="${1:-20}"
tasks="${TASKS:-12}"
read -ra kinds <<< "${KINDS:-agent server service keeper}"
dayan="${DAYAN:-${CARGO_TARGET_DIR:-target}/debug/dayan}"
dayan="$(realpath "$dayan")"
work="$(mktemp -d)"
export LAB="$work/lab"
export XDG_CONFIG_HOME="$work/config" DAYAN_LOG="${DAYAN_LOG:-warn}"
RANDOM="${SEED:-1}"

say() { printf '%s %s\n' "$(date +%T)" "$*"; }

finish() {
  for file in "$work"/*.pid; do
    [ ! -f "$file" ] || kill "$(cat "$file")" 2> /dev/null || true
  done
  keeper_pids | xargs -r kill 2> /dev/null || true
  tools/podman-lab.sh stop > /dev/null 2>&1 || true
  if [ "${KEEP:-}" ]; then say "kept: $work"; else rm -rf "$work"; fi
}
trap finish EXIT

# The working keeper of this agent's folder.
keeper_pids() {
  local pid
  for pid in /proc/[0-9]*; do
    if { tr "\0" " " < "$pid/cmdline"; } 2> /dev/null | grep -q -- "--dir $work/agent/.*--worker"; then
      basename "$pid"
    fi
  done
}

agent() {
  "$dayan" agent --url "$url" "$@" --data "$work/agent" >> "$work/agent.log" 2>&1 &
  echo $! > "$work/agent.pid"
}

tools/podman-lab.sh start
# At the same place each time: who is started again must find it.
address="127.0.0.1:$(( 20000 + RANDOM % 20000 ))"
server() {
  "$dayan" serve --listen "$address" --usage-every 1s --data "$work/exchange" >> "$work/serve.log" 2>&1 &
  echo $! > "$work/serve.pid"
}
server
for _ in $(seq 300); do
  url="$(grep -oE 'http://127\.0\.0\.1:[0-9]+' "$work/serve.log" | head -n 1 || true)"
  [ -z "$url" ] || [ ! -f "$work/exchange/operator.token" ] || break
  sleep 0.1
done
"$dayan" login "$url" --token - < "$work/exchange/operator.token" > /dev/null
for org in guian-dc studio-a; do "$dayan" org create "$org" > /dev/null; done
"$dayan" provider apply guian-dc --org guian-dc > /dev/null
"$dayan" provider verify guian-dc > /dev/null
"$dayan" provider activate guian-dc > /dev/null
"$dayan" org deposit studio-a "5000.00 CNY" --reference first > /dev/null
"$dayan" project create studio-a/film --per-month 4000 > /dev/null
join="$("$dayan" provider invite guian-dc -o json | grep -oE 'dyj1[^"]*' | head -n 1)"
agent --join "$join" --engine podman --container-socket "$LAB/podman.sock" --pull never --measure off \
  --site "Gui'an" --pool boxes --cpus 4 --memory 4GB
for _ in $(seq 300); do
  ! "$dayan" pools 2> /dev/null | grep boxes | grep -q active || break
  sleep 0.1
done
"$dayan" offer create boxes --core-hour 0.12 --gb-hour 0.01 > /dev/null

cat > "$work/job.yaml" << JOB
version: 1
name: rounds
type: batch
project: studio-a/film
image: localhost/dayan-test:1
array: {range: 1-$tasks}
resources: {cpus: 0.5, memory: 64MB, time: 5m}
run: echo "ran \$DAYAN_ARRAY_FIRST \$DAYAN_ATTEMPT"; sleep 1; echo "done \$DAYAN_ARRAY_FIRST"
JOB

jobs=()
rounds=$(( rounds * ${#kinds[@]} ))
for round in $(seq "$rounds"); do
  job="$("$dayan" submit "$work/job.yaml" -o json | grep -oE 'job_[0-9a-z]+' | head -n 1)"
  jobs+=("$job")
  # Somewhere within the seconds that the array takes.
  sleep "$(( RANDOM % 4 )).$(( RANDOM % 10 ))"
  case "${kinds[$(( round % ${#kinds[@]} ))]}" in
    agent)
      what=agent
      kill -9 "$(cat "$work/agent.pid")"
      wait "$(cat "$work/agent.pid")" 2> /dev/null || true
      sleep "0.$(( RANDOM % 10 ))"
      agent --measure off
      ;;
    server)
      what="the server"
      kill -9 "$(cat "$work/serve.pid")"
      wait "$(cat "$work/serve.pid")" 2> /dev/null || true
      sleep "0.$(( RANDOM % 10 ))"
      server
      for _ in $(seq 300); do
        ! "$dayan" whoami > /dev/null 2>&1 || break
        sleep 0.1
      done
      ;;
    service)
      what="podman's service"
      tools/podman-lab.sh kill
      sleep "$(( RANDOM % 2 )).$(( RANDOM % 10 ))"
      tools/podman-lab.sh service
      ;;
    *)
      what="the keeper"
      keeper_pids | xargs -r kill -9
      ;;
  esac
  say "round $round of $rounds: killed $what under $job"
done

say "waiting for $(( rounds * tasks )) tasks"
bad=0
for job in "${jobs[@]}"; do
  for _ in $(seq 1200); do
    state="$("$dayan" show "$job" -o json | python3 -c 'import json, sys; print(json.load(sys.stdin)["state"])')"
    case "$state" in succeeded | failed | cancelled) break ;; esac
    sleep 0.5
  done
  "$dayan" show "$job" -o json > "$work/show.json"
  python3 - "$work/show.json" "$tasks" << 'PY' || bad=$(( bad + 1 ))
import collections, json, sys
job = json.load(open(sys.argv[1])); want = int(sys.argv[2])
tasks = job["tasks"]
ends = collections.Counter(a["state"] for a in job["attempts"])
once = collections.Counter(a["task"] for a in job["attempts"] if a["state"] == "succeeded")
print(f"  {job['id']}: {job['state']}, {tasks['succeeded']} of {want} succeeded, attempts {dict(ends)}")
ok = job["state"] == "succeeded" and tasks["succeeded"] == want and len(once) == want
ok = ok and all(count == 1 for count in once.values())
sys.exit(0 if ok else 1)
PY
  for task in $(seq 0 $(( tasks - 1 ))); do
    said="$("$dayan" logs "$job/$task" 2> /dev/null || true)"
    if [ "$(grep -c "^ran $(( task + 1 )) " <<< "$said")" != 1 ] || [ "$(grep -c '^done ' <<< "$said")" != 1 ]; then
      echo "  $job/$task said: $said"
      bad=$(( bad + 1 ))
    fi
  done
done
"$dayan" ledger check
for job in "${jobs[@]}"; do "$dayan" show "$job" -o json; done > "$work/shown.json"
"$dayan" invoice ls -o json > "$work/invoices.json"
for id in $(python3 -c 'import json, sys; print(*[i["id"] for i in json.load(open(sys.argv[1]))])' "$work/invoices.json"); do
  "$dayan" invoice get "$id" -o json
done > "$work/bills.json"
python3 - "$work" << 'PY' || bad=$(( bad + 1 ))
import collections, json, sys

def documents(path):
    text, decoder, at = open(path).read(), json.JSONDecoder(), 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        value, at = decoder.raw_decode(text, at)
        yield value

billed = collections.Counter(
    line["attempt"] for bill in documents(f"{sys.argv[1]}/bills.json") for line in bill["lines"])
wrong = [f"{attempt} is on the bill {count} times" for attempt, count in billed.items() if count > 1]
for job in documents(f"{sys.argv[1]}/shown.json"):
    for a in job["attempts"]:
        name = f"{job['id']}/{a['task']}.{a['attempt']}"
        if a["state"] == "succeeded" and billed[name] != 1:
            wrong.append(f"{name} succeeded and is not on the bill")
print("\n".join(wrong) or f"{sum(billed.values())} attempts on the bill, each once")
sys.exit(bool(wrong))
PY
left="$(tools/podman-lab.sh run ps -a -q | wc -l)"
[ "$left" = 0 ] || bad=$(( bad + 1 ))
say "things wrong: $bad, in $rounds rounds; containers left: $left"
[ "$bad" = 0 ]
