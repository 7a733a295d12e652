#!/usr/bin/env bash
# A real Slurm cluster of its own on this machine, for tests and measurements: munged, slurmctld,
# several slurmd that each claim to be a node, with DBD=1 slurmdbd over MariaDB, with REST=1 slurmrestd.
# No systemd, no file outside of the folder, no fixed port: several labs live side by side.
#
#   LAB=DIR tools/slurm-lab.sh start|stop|env|heal|rest|kill NAME|revive NAME
#
# `kill` and `revive` end (as by kill -9) and start one daemon: slurmctld, slurmdbd, slurmd.n1 …; `rest`
# starts slurmrestd again, on its port.
#   NODES=4 CPN=16   nodes, and processors each of them claims; they share this machine's
#   DBD=0            1: with accounting
#   REST=0           1: with slurmrestd on the socket DIR/rest/sock and on the port in DIR/rest/port, by JWT
#   CGROUPS=0        1: jobs are kept and held by cgroups (v1), as sites do it; with CPN=2 or what the machine has
#   V100=0           so many of the nodes, the first ones, have gpu:v100 and the feature avx2, the others
#                    gpu:a100 and avx512
#   EXTRA_CONF=      further lines of slurm.conf
#   PARTITIONS=      partition lines instead of the one `main`
#
# A controller that is killed forgets what it did last: it starts elements again that run, drains the
# nodes which say so, and takes jobs to run that do not. `heal` is what its operator does then.
#
# It needs root, because the daemons change users, and Debian's packages (see `missing`).
set -euo pipefail

LAB=${LAB:?set LAB to a folder of its own}
NODES=${NODES:-4} CPN=${CPN:-16} DBD=${DBD:-0} REST=${REST:-0} CGROUPS=${CGROUPS:-0} V100=${V100:-0}
export SLURM_CONF="$LAB/etc/slurm.conf"
plugins="$(dirname "$(find /usr/lib -name 'select_cons_tres.so' -print -quit 2> /dev/null)")"

die() { echo "slurm-lab: $*" >&2; exit 1; }

missing() {
  local program
  for program in slurmctld slurmd sbatch munged; do
    command -v "$program" > /dev/null || echo "$program"
  done
  if [ "$CGROUPS" = 1 ]; then
    local controller
    for controller in freezer cpuset memory devices; do
      [ -w "/sys/fs/cgroup/$controller/cgroup.procs" ] || echo "the-cgroup-v1-controller-$controller"
    done
    [ -e "$plugins/task_cgroup.so" ] || echo slurm-wlm-basic-plugins
  fi
  if [ "$REST" = 1 ]; then
    command -v slurmrestd > /dev/null || echo slurmrestd
    [ -e "$plugins/auth_jwt.so" ] || echo slurm-wlm-jwt-plugin
  fi
  if [ "$DBD" = 1 ]; then
    for program in slurmdbd mariadbd mariadb-install-db; do
      command -v "$program" > /dev/null || echo "$program"
    done
  fi
}

# Waits for a condition: WITHIN_TENTHS COMMAND...
await() {
  local tenths="$1"
  shift
  for _ in $(seq "$tenths"); do
    "$@" > /dev/null 2>&1 && return 0
    sleep 0.1
  done
  return 1
}

as() { local user="$1"; shift; setpriv --reuid "$user" --regid "$user" --clear-groups "$@"; }

# The first of COUNT ports in a row that nobody listens on.
free_ports() {
  local base port
  for _ in $(seq 50); do
    base=$(( 20000 + RANDOM % 12000 ))
    for port in $(seq "$base" $(( base + $1 - 1 ))); do
      if (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; then continue 2; fi
    done
    echo "$base"
    return
  done
  die "found no free ports"
}

end_process() { # PID SIGNAL
  kill "-$2" "$1" 2> /dev/null || return 0
  await 100 gone "$1" || kill -9 "$1" 2> /dev/null || true
}
gone() { ! kill -0 "$1" 2> /dev/null || grep -q '^State:.Z' "/proc/$1/status" 2> /dev/null; }

stop() {
  local file
  for file in "$LAB"/run/slurmrestd.pid "$LAB"/run/slurmd.*.pid "$LAB"/run/{slurmctld,slurmdbd,mariadb,munged}.pid; do
    [ -s "$file" ] && end_process "$(cat "$file")" TERM
    rm -f "$file"
  done
}

start_munge() {
  chown munge: "$LAB/munge"
  (umask 077 && head -c 1024 /dev/urandom > "$LAB/munge/key")
  chown munge: "$LAB/munge/key"
  as munge munged --force --key-file="$LAB/munge/key" --socket="$LAB/munge/sock" \
    --pid-file="$LAB/munge/pid" --seed-file="$LAB/munge/seed" --log-file="$LAB/munge/log" --num-threads=4
  await 50 test -S "$LAB/munge/sock" || die "munged does not start: $(tail -n 3 "$LAB/munge/log")"
  cp "$LAB/munge/pid" "$LAB/run/munged.pid"
}

start_database() { # PORT
  local sql="mariadb -S $LAB/db/sock"
  chown mysql: "$LAB/db"
  mariadb-install-db --no-defaults --user=mysql --datadir="$LAB/db" --skip-test-db \
    --auth-root-authentication-method=socket > "$LAB/log/install-db.log" 2>&1
  setsid mariadbd --no-defaults --user=mysql --datadir="$LAB/db" --socket="$LAB/db/sock" \
    --pid-file="$LAB/db/pid" --bind-address=127.0.0.1 --port="$1" --innodb-buffer-pool-size=64M \
    --innodb-lock-wait-timeout=900 > "$LAB/log/mariadb.log" 2>&1 < /dev/null &
  echo $! > "$LAB/run/mariadb.pid"
  await 300 $sql -e 'select 1' || die "mariadbd does not start: $(tail -n 3 "$LAB/log/mariadb.log")"
  $sql -e "create database slurm; create user slurm@'127.0.0.1' identified by 'slurm';
           create user slurm@localhost identified by 'slurm';
           grant all on slurm.* to slurm@'127.0.0.1'; grant all on slurm.* to slurm@localhost;"
}

nodes_of() { # FIRST LAST FIRST_PORT CARDS FEATURE
  [ "$1" -le "$2" ] || return 0
  echo "NodeName=n[$1-$2] NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=[$(( $3 + 9 + $1 ))-$(( $3 + 9 + $2 ))] CPUs=$CPN RealMemory=16384 Gres=gpu:$4:4,npu:8 Feature=$5 State=UNKNOWN"
}
gres_of() { # FIRST LAST CARDS
  [ "$1" -le "$2" ] || return 0
  echo "NodeName=n[$1-$2] Name=gpu Type=$3 File=$LAB/gpu/dev[0-3]"
}

write_conf() { # FIRST_PORT
  local port="$1" host accounting held tokens=""
  if [ "$REST" = 1 ]; then
    (umask 077 && head -c 32 /dev/urandom > "$LAB/etc/jwt.key")
    chown slurm: "$LAB/etc/jwt.key"
    tokens="AuthAltTypes=auth/jwt
AuthAltParameters=jwt_key=$LAB/etc/jwt.key"
  fi
  host="$(hostname -s)"
  held="ProctrackType=proctrack/linuxproc
TaskPlugin=task/none"
  [ "$CGROUPS" = 0 ] || held="ProctrackType=proctrack/cgroup
TaskPlugin=task/affinity,task/cgroup"
  accounting="AccountingStorageType=accounting_storage/none"
  if [ "$DBD" = 1 ]; then
    accounting="AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$(( port + 1 ))
AccountingStoragePass=$LAB/munge/sock
AccountingStorageTRES=gres/gpu
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=5"
    cat > "$LAB/etc/slurmdbd.conf" << CONF
AuthType=auth/munge
AuthInfo=socket=$LAB/munge/sock
$tokens
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$(( port + 1 ))
SlurmUser=slurm
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$(( port + 2 ))
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
PidFile=$LAB/run/slurmdbd.pid
LogFile=$LAB/log/slurmdbd.log
PluginDir=$plugins
CONF
    chown slurm: "$LAB/etc/slurmdbd.conf"
    chmod 600 "$LAB/etc/slurmdbd.conf"
  fi
  cat > "$LAB/etc/slurm.conf" << CONF
ClusterName=lab
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=slurm
AuthType=auth/munge
AuthInfo=socket=$LAB/munge/sock
$tokens
CredType=cred/munge
StateSaveLocation=$LAB/state
SlurmdSpoolDir=$LAB/spool/%n
SlurmctldPidFile=$LAB/run/slurmctld.pid
SlurmdPidFile=$LAB/run/slurmd.%n.pid
SlurmctldLogFile=$LAB/log/slurmctld.log
SlurmdLogFile=$LAB/log/slurmd.%n.log
$held
SwitchType=switch/none
MpiDefault=none
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
ReturnToService=2
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=2,defer,default_queue_depth=4000,max_rpc_cnt=0,bf_interval=2,bf_max_job_test=50,nohold_on_prolog_fail
MessageTimeout=60
MaxJobCount=50000
MaxArraySize=20001
MinJobAge=300
KillWait=10
BatchStartTimeout=5
DefMemPerCPU=16
GresTypes=gpu,npu
$accounting
$(nodes_of 1 "$V100" "$port" v100 avx2)
$(nodes_of $(( V100 + 1 )) "$NODES" "$port" a100 avx512)
${PARTITIONS:-PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO}
${EXTRA_CONF:-}
CONF
  # gres/gpu insists on device files: clones of /dev/null. A name without a plugin is only counted.
  local card
  for card in 0 1 2 3; do mknod -m 666 "$LAB/gpu/dev$card" c 1 3; done
  printf '%s\n' "$(gres_of 1 "$V100" v100)" "$(gres_of $(( V100 + 1 )) "$NODES" a100)" \
    "NodeName=n[1-$NODES] Name=npu Count=8 Flags=CountOnly" > "$LAB/etc/gres.conf"
  if [ "$CGROUPS" = 0 ]; then
    printf 'CgroupAutomount=no\nConstrainCores=no\nConstrainRAMSpace=no\n'
  else
    printf 'CgroupAutomount=no\nCgroupPlugin=cgroup/v1\nConstrainCores=yes\nConstrainRAMSpace=yes\n'
  fi > "$LAB/etc/cgroup.conf"
}

daemon() { # NAME [OPTION]: the rest keeps what it knew unless told to begin anew by -c
  case "$1" in
    slurmctld) as slurm env SLURM_CONF="$SLURM_CONF" slurmctld "${@:2}" ;;
    slurmdbd) as slurm env SLURM_CONF="$SLURM_CONF" slurmdbd ;;
    slurmd.*) slurmd -N "${1#slurmd.}" "${@:2}" ;;
    *) die "there is no daemon \`$1\`" ;;
  esac
}

# As a user of its own: it refuses to be root's or Slurm's. Who asks says who they are by a token.
start_rest() { # PORT
  # What asks the accounting does not start where there is none.
  local offered=(-s openapi/v0.0.36,openapi/v0.0.37,openapi/v0.0.38)
  [ "$DBD" = 0 ] || offered=()
  install -d -o nobody -g nogroup "$LAB/rest"
  SLURM_JWT=daemon setsid setpriv --reuid nobody --regid nogroup --clear-groups \
    slurmrestd -a rest_auth/jwt ${offered[@]+"${offered[@]}"} "unix:$LAB/rest/sock" "127.0.0.1:$1" > "$LAB/log/slurmrestd.log" 2>&1 < /dev/null &
  echo $! > "$LAB/run/slurmrestd.pid"
  echo "$1" > "$LAB/rest/port"
  await 100 test -S "$LAB/rest/sock" || die "slurmrestd does not start: $(tail -n 3 "$LAB/log/slurmrestd.log")"
}

idle_nodes() { [ "$(sinfo -h -N -t idle -o %N 2> /dev/null | sort -u | wc -l)" = "$NODES" ]; }

start() {
  local lacking port node
  [ "$(id -u)" = 0 ] || die "it needs root"
  lacking="$(missing | tr '\n' ' ')"
  [ -z "$lacking" ] || die "not installed: $lacking"
  [ ! -e "$LAB/run" ] || stop
  rm -rf "$LAB"
  mkdir -p "$LAB"/{etc,run,log,state,spool,munge,db,gpu}
  # Other users go through it, and read nothing but what they must.
  chmod 755 "$LAB"
  for node in $(seq "$NODES"); do mkdir "$LAB/spool/n$node"; done
  chown slurm: "$LAB"/{run,log,state}
  port="$(free_ports $(( 10 + NODES )))"
  start_munge
  write_conf "$port"
  if [ "$DBD" = 1 ]; then
    start_database $(( port + 2 ))
    daemon slurmdbd
    await 150 sacctmgr -n show cluster || die "slurmdbd does not start"
    sacctmgr -i add cluster lab > /dev/null 2>&1 || true
  fi
  daemon slurmctld -c
  for node in $(seq "$NODES"); do daemon "slurmd.n$node" -c; done
  await 300 idle_nodes || die "the nodes do not come up: $(sinfo 2>&1 | tail -n 3)"
  [ "$REST" = 0 ] || start_rest $(( port + 3 ))
}

case "${1:-}" in
  start) start ;;
  stop) stop ;;
  env) echo "export SLURM_CONF=$SLURM_CONF" ;;
  kill) kill -9 "$(cat "$LAB/run/${2:?which daemon}.pid")" ;;
  rest) start_rest "$(cat "$LAB/rest/port")" ;;
  heal) scontrol reconfigure && scontrol update "nodename=n[1-$NODES]" state=resume || true ;;
  revive) daemon "${2:?which daemon}" ;;
  *) sed -n '2,/^set/p' "$0" | sed -n 's/^# \{0,1\}//p'; exit 2 ;;
esac
