#!/usr/bin/env bash
# Kills what stands between a job and its containers, at random under load, and counts what became of it.
#
#   tools/container-rounds.sh [podman|docker] [ROUNDS]   podman and 20 of each kind unless told; a round takes
#                                                        about ten seconds
#
# An exchange, an agent with that engine and a service of its own (tools/podman-lab.sh, tools/docker-lab.sh).
# In each round an array of TASKS elements is submitted, and while it runs one of KINDS is killed with SIGKILL
# and started again, in an order that SEED gives: the agent, the server, the service, the keeper of
# containers. Every attempt says when it began and when it ended, on the machine's boot clock. At the end what
# tools/rounds_verdict.py asks for holds, and no container is left. Needs root, a built `dayan` (DAYAN=path), and
# what the lab needs.
set -euo pipefail
cd "$(dirname "$0")/.."
engine="${1:-podman}"
rounds="${2:-20}"
case "$engine" in podman | docker) ;; *) echo "usage: $0 [podman|docker] [ROUNDS]" >&2; exit 2 ;; esac
read -ra kinds <<< "${KINDS:-agent server service keeper}"

# shellcheck source=tools/rounds.sh
source tools/rounds.sh
export LAB="$work/lab"
lab="tools/$engine-lab.sh"

finish() {
  keeper_pids | xargs -r kill 2> /dev/null || true
  "$lab" stop > /dev/null 2>&1 || true
  finish_rounds
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

kill_one() {
  case "$1" in
    service)
      what="$engine's service"
      "$lab" kill
      pause "$(( RANDOM % 2 )).$(( RANDOM % 10 ))"
      "$lab" service
      ;;
    keeper)
      what="the keeper"
      keeper_pids | xargs -r kill -9
      ;;
    *) say "$1 is not known here"; exit 2 ;;
  esac
}

"$lab" start
open_exchange boxes --engine "$engine" --container-socket "$LAB/$engine.sock" --pull never --cpus 4 --memory 4GB

# The images' `date` knows whole seconds only; the boot clock has hundredths, and is one for all containers.
cat > "$work/job.yaml" << JOB
version: 1
name: rounds
type: batch
project: buyer/rounds
image: localhost/dayan-test:1
array: {range: 1-$tasks}
resources: {cpus: 0.5, memory: 64MB, time: 5m}
run: |
  now() { cut -d' ' -f1 /proc/uptime | tr -d .; }
  echo "\$DAYAN_JOB \$DAYAN_TASK \$DAYAN_ATTEMPT began \$(now)"
  sleep 1
  echo "\$DAYAN_JOB \$DAYAN_TASK \$DAYAN_ATTEMPT ended \$(now)"
JOB

kill_in_rounds
gather
# Containers see nothing of the machine, so what they say is in the logs: of every attempt there was.
python3 - "$work/shown.json" << 'PY' > "$work/attempts"
import json, sys
text, decoder, at = open(sys.argv[1]).read(), json.JSONDecoder(), 0
while text[at:].strip():
    at += len(text[at:]) - len(text[at:].lstrip())
    job, at = decoder.raw_decode(text, at)
    for a in job["attempts"]:
        print(f"{job['id']}/{a['task']}.{a['attempt']}")
PY
while read -r attempt; do "$dayan" logs "$attempt" 2> /dev/null || true; done < "$work/attempts" > "$work/ran"
# Of a container that ends while docker's daemon is dead, docker brings nothing of what it said meanwhile.
words=()
[ "$engine" = podman ] || words=(last-words-may-be-lost)
status=0
verdict "${words[@]}" || status=1
left="$("$lab" run ps -a -q | wc -l)"
echo "containers left: $left"
[ "$left" = 0 ] || status=1
exit "$status"
