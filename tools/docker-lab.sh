#!/usr/bin/env bash
# A docker of its own for tests: data, images and a daemon in one folder, nothing of the machine's.
#
#   LAB=folder tools/docker-lab.sh start     a daemon at $LAB/docker.sock, and images
#   LAB=folder tools/docker-lab.sh kill      kill -9 of the daemon; its containers go on
#   LAB=folder tools/docker-lab.sh service   the daemon again
#   LAB=folder tools/docker-lab.sh run ARGS  docker itself, of that daemon
#   LAB=folder tools/docker-lab.sh stop      everything ends and goes
#
# With MAPPED=1 docker maps users: root of its containers is user 2,000,000,000 of the machine (`userns-remap`).
#
# Needs root and: docker.io, busybox-static. The images are made here, offline:
# localhost/dayan-test:1 and :2, a busybox each. Its containers have no network but their own.
set -euo pipefail
: "${LAB:?the folder of the lab}"
mkdir -p "$LAB"
LAB="$(cd "$LAB" && pwd)"

# shellcheck source=tools/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/lab.sh"
need dockerd docker containerd runc busybox

# Whose users its containers have, where they are mapped.
mapped=()
if [ -n "${MAPPED:-}" ]; then
  mapped=(--userns-remap nobody:nogroup)
  export SUBORDINATE=nobody:2000000000:65536
fi

docker_here() { docker --host "unix://$LAB/docker.sock" "$@"; }

# Containers outlive the daemon, as on a machine whose administrator updates docker under load:
# live-restore, and a containerd that is not the daemon's child.
service() {
  rm -f "$LAB/docker.pid" "$LAB/docker.sock"
  echo '{"live-restore": true}' > "$LAB/daemon.json"
  containerd_here
  (exec nsenter -t "$(cat "$LAB/space.pid")" -m dockerd \
    --config-file "$LAB/daemon.json" --data-root "$LAB/data" --exec-root "$LAB/exec" \
    --pidfile "$LAB/docker.pid" --host "unix://$LAB/docker.sock" \
    --containerd "$LAB/containerd/containerd.sock" \
    ${mapped[@]+"${mapped[@]}"} --bridge none --iptables=false --ip-forward=false --ip-masq=false \
    --exec-opt native.cgroupdriver=cgroupfs < /dev/null >> "$LAB/service.log" 2>&1) &
  echo $! > "$LAB/service.pid"
  answers "$LAB/docker.sock"
}

containerd_here() {
  if [ -f "$LAB/containerd.pid" ] && kill -0 "$(cat "$LAB/containerd.pid")" 2> /dev/null; then return; fi
  mkdir -p "$LAB/containerd"
  cat > "$LAB/containerd.toml" << CONFIG
version = 2
root = "$LAB/containerd/root"
state = "$LAB/containerd/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "$LAB/containerd/containerd.sock"
CONFIG
  (exec nsenter -t "$(cat "$LAB/space.pid")" -m containerd --config "$LAB/containerd.toml" \
    < /dev/null >> "$LAB/containerd.log" 2>&1) &
  echo $! > "$LAB/containerd.pid"
  for _ in $(seq 500); do
    [ ! -S "$LAB/containerd/containerd.sock" ] || return 0
    sleep 0.02
  done
  fail "containerd does not start: $(tail -n 3 "$LAB/containerd.log")"
}

images() {
  local tag
  rootfs
  for tag in 1 2; do
    docker_here import "$LAB/image.tar" "localhost/dayan-test:$tag" > /dev/null
  done
}

case "${1:-}" in
  start)
    space
    service
    [ -f "$LAB/image.tar" ] || images
    ;;
  service) service ;;
  kill) kill -9 "$(cat "$LAB/service.pid")" ;;
  run)
    shift
    docker_here "$@"
    ;;
  stop)
    if [ -f "$LAB/space.pid" ]; then
      (docker_here ps -a -q | timeout 60 xargs -r docker --host "unix://$LAB/docker.sock" rm -f > /dev/null 2>&1) || true
      for daemon in service containerd space; do
        [ ! -f "$LAB/$daemon.pid" ] || kill -9 "$(cat "$LAB/$daemon.pid")" 2> /dev/null || true
      done
      # Of a container whose start was cut off by a kill, nobody else knows.
      pkill -9 -f -- "$LAB/containerd/containerd.sock" || true
    fi
    rm -rf "$LAB" 2> /dev/null || true
    ;;
  *) fail "usage: LAB=folder $0 start|kill|service|run|stop" ;;
esac
