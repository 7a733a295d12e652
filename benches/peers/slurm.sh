#!/usr/bin/env bash
# A small real Slurm on this machine: munged, slurmctld and one slurmd with SLOTS processors, in a
# folder of their own, without systemd. `slurm.sh start|stop FOLDER`. As root; the packages
# slurmctld, slurmd, slurm-client and munge must be there.
set -euo pipefail
folder="$2"
export SLURM_CONF="$folder/slurm.conf"

stop() {
  for name in slurmd slurmctld munged; do
    [ -s "$folder/$name.pid" ] && kill "$(cat "$folder/$name.pid")" 2> /dev/null || true
  done
}

wait_for() { # WHAT COMMAND…
  local what="$1"
  shift
  for _ in $(seq 200); do
    "$@" > /dev/null 2>&1 && return
    sleep 0.1
  done
  echo "$what did not come up; see $folder" >&2
  exit 1
}

start() {
  mkdir -p "$folder"/{munge,state,spool}
  chmod 755 "$folder"
  head -c 1024 /dev/urandom > "$folder/munge/key"
  chown -R munge: "$folder/munge"
  chmod 400 "$folder/munge/key"
  touch "$folder/munged.pid"
  chown munge: "$folder/munged.pid"
  chown slurm: "$folder/state"
  setpriv --reuid munge --regid munge --clear-groups munged --force \
    --key-file="$folder/munge/key" --socket="$folder/munge/sock" \
    --pid-file="$folder/munge/pid" --seed-file="$folder/munge/seed" \
    --log-file="$folder/munge/log"
  wait_for munged test -S "$folder/munge/sock"
  cp "$folder/munge/pid" "$folder/munged.pid"
  touch "$folder"/{slurmctld,slurmd}.{pid,log}
  chown slurm: "$folder"/slurmctld.{pid,log}
  cat > "$SLURM_CONF" << CONF
ClusterName=bench
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=26817
SlurmdPort=26818
SlurmUser=slurm
AuthType=auth/munge
AuthInfo=socket=$folder/munge/sock
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=2,defer,default_queue_depth=4000,bf_interval=2,bf_max_job_test=50
MaxJobCount=50000
MaxArraySize=20001
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=${SLOTS:-40} RealMemory=1024 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
  setpriv --reuid slurm --regid slurm --clear-groups slurmctld -c
  slurmd -c
  wait_for slurmd sh -c 'sinfo -h -t idle -o %N | grep -q .'
}

case "$1" in
  start) start ;;
  stop) stop ;;
esac
