#!/usr/bin/env bash
# Kills what stands between a job and its pods, at random under load, and counts what became of it.
#
#   tools/kube-rounds.sh [ROUNDS]      20 of each kind unless told; a round takes about ten seconds
#
# An exchange, an agent with --engine kubernetes and a cluster of its own: a real control plane where
# KUBEBUILDER_ASSETS names its programs, else the fake, with twins of a kubelet as its nodes (the example
# `kube_lab` of the engines). In each round an array of TASKS elements is submitted, and while it runs one of
# KINDS is killed with SIGKILL and started again, or falls silent for a while, in an order that SEED gives: the
# agent, the server, the API server, a node. Every attempt writes down when it began and ended. At the end what
# tools/rounds_verdict.py asks for holds, and no pod was started twice. Needs a `dayan` built with
# `--features kubernetes` (DAYAN=path) and `cargo build -p dayan-engines --features kubernetes --example kube_lab`
# (KUBE_LAB=path).
set -euo pipefail
cd "$(dirname "$0")/.."
rounds="${1:-20}"
read -ra kinds <<< "${KINDS:-agent server apiserver node}"
kube_lab="$(realpath "${KUBE_LAB:-${CARGO_TARGET_DIR:-target}/debug/examples/kube_lab}")"

# shellcheck source=tools/rounds.sh
source tools/rounds.sh

kind=fake
[ -z "${KUBEBUILDER_ASSETS:-}" ] || kind=real
# It obeys what it reads and ends with its input.
coproc lab { TMPDIR="$work" "$kube_lab" "$kind" 2> "$work/lab.log"; }
# shellcheck disable=SC2154 # coproc sets it
lab_pid="$lab_PID"
# Moved, not copied: its input ends when this one is closed.
exec {to}>&"${lab[1]}"- {from}<&"${lab[0]}"-
heard() { IFS= read -rt 120 answer <&"$from" || { tail -n 20 "$work/lab.log" >&2; exit 1; }; }
tell() { echo "$1" >&"$to"; heard; }

finish() {
  [ ! -f "$work/agent.pid" ] || kill "$(cat "$work/agent.pid")" 2> /dev/null || true
  exec {to}>&-
  # What it has started is ended by it, before its folder goes.
  for _ in $(seq 300); do
    kill -0 "$lab_pid" 2> /dev/null || break
    pause 0.1
  done
  finish_rounds
}
trap finish EXIT

kill_one() {
  case "$1" in
    apiserver)
      what="the API server"
      tell kill
      pause "$(( RANDOM % 2 )).$(( RANDOM % 10 ))"
      tell revive
      ;;
    node)
      what="the word of a node"
      tell silence
      pause "$(( RANDOM % 3 )).$(( RANDOM % 10 ))"
      tell speech
      ;;
    *) say "$1 is not known here"; exit 2 ;;
  esac
}

heard
kubeconfig="$answer"
heard
volume="$answer"
open_exchange cluster --engine kubernetes --kubeconfig "$kubeconfig" --kube-default-image twin/tools:1 \
  --kube-volume "host:$volume" --cpus 4 --memory 8GB

# The file's lines are appended by many at once; each is shorter than what a kernel writes at once.
: > "$work/ran"
cat > "$work/job.yaml" << JOB
version: 1
name: rounds
type: batch
project: buyer/rounds
array: {range: 1-$tasks}
resources: {cpus: 1, memory: 64MB, time: 10m}
retry: {max: 5, when: [node_failure, site_lost]}
run: |
  echo "\$DAYAN_JOB \$DAYAN_TASK \$DAYAN_ATTEMPT began \$(date +%s%N)" >> $work/ran
  sleep 2
  echo "\$DAYAN_JOB \$DAYAN_TASK \$DAYAN_ATTEMPT ended \$(date +%s%N)" >> $work/ran
JOB

kill_in_rounds
gather
status=0
# shellcheck disable=SC2119 # it has no words of its own
verdict || status=1
tell started
echo "pods started, and different ones: $answer"
read -r all different <<< "$answer"
[ "$all" = "$different" ] || status=1
exit "$status"
