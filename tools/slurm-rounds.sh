#!/usr/bin/env bash
# Kills what stands between a job and its tasks on a Slurm cluster, at random under load, and counts what
# became of it.
#
#   tools/slurm-rounds.sh [ROUNDS]      20 of each kind unless told; a round takes about ten seconds
#
# An exchange, an agent with --engine slurm and a Slurm of its own with accounting (tools/slurm-lab.sh).
# In each round an array of TASKS elements is submitted, and while it and those before it run, one of
# KINDS is killed with SIGKILL and started again: the agent, the server, slurmctld, slurmdbd, a slurmd.
# Every attempt writes down when it began and ended. At the end what tools/rounds_verdict.py asks for holds.
# Needs root, a built `dayan` (DAYAN=path) and what the lab needs. SEED repeats a choice of moments.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds="${1:-20}"
read -ra kinds <<< "${KINDS:-agent server slurmctld slurmdbd slurmd}"

# shellcheck source=tools/rounds.sh
source tools/rounds.sh

export LAB="$work/lab" NODES="${NODES:-2}" CPN="${CPN:-8}" DBD=1
finish() {
  local name
  # The agent first: it would ask a Slurm that is not there any more.
  for name in agent server; do
    [ ! -f "$work/$name.pid" ] || kill "$(cat "$work/$name.pid")" 2> /dev/null || true
  done
  tools/slurm-lab.sh stop > /dev/null 2>&1 || true
  finish_rounds
}
trap finish EXIT

# What an operator does for a controller that was killed: see tools/slurm-lab.sh.
heal() { tools/slurm-lab.sh heal > /dev/null 2>&1 || true; }

kill_one() {
  case "$1" in
    slurmctld | slurmdbd) what="$1" ;;
    slurmd) what="slurmd.n$(( 1 + RANDOM % NODES ))" ;;
    *) say "$1 is not known here"; exit 2 ;;
  esac
  tools/slurm-lab.sh kill "$what"
  pause "$(( RANDOM % 3 )).$(( RANDOM % 10 ))"
  tools/slurm-lab.sh revive "$what"
  [ "$what" != slurmctld ] || pause 1
  heal
}

tools/slurm-lab.sh start
eval "$(tools/slurm-lab.sh env)"
open_exchange cluster --engine slurm

# The file's lines are appended by many at once; each is shorter than what a kernel writes at once.
cat > "$work/job.yaml" << JOB
version: 1
name: rounds
type: batch
project: buyer/rounds
array: {range: 1-$tasks}
resources: {cpus: 1, memory: 32MB, time: 10m}
retry: {max: 5, when: [node_failure, site_lost]}
# What a controller that was killed has forgotten, and nobody speaks of, goes again when its lease is over.
on_lost_link: {keep: 1m}
run: |
  echo "\$DAYAN_JOB \$DAYAN_TASK \$DAYAN_ATTEMPT began \$(date +%s%N)" >> $work/ran
  sleep 2
  echo "\$DAYAN_JOB \$DAYAN_TASK \$DAYAN_ATTEMPT ended \$(date +%s%N)" >> $work/ran
JOB
: > "$work/ran"

kill_in_rounds
# A controller that was killed may still have forgotten what runs.
while_waiting() { heal; }
gather
# shellcheck disable=SC2119 # it has no words of its own
verdict
