#!/usr/bin/env bash
# A docker of its own for tests: data, images and a daemon in one folder, nothing of the machine's.
#
#   LAB=folder tools/docker-lab.sh start     a daemon at $LAB/docker.sock, and images
#   LAB=folder tools/docker-lab.sh kill      kill -9 of the daemon; its containers go on
#   LAB=folder tools/docker-lab.sh service   the daemon again
#   LAB=folder tools/docker-lab.sh run ARGS  docker itself, of that daemon
#   LAB=folder tools/docker-lab.sh stop      everything ends and goes
#
# Needs root and: docker.io, busybox-static. The images are made here, offline:
# localhost/dayan-test:1 and :2, a busybox each. Its containers have no network but their own.
set -euo pipefail
: "${LAB:?the folder of the lab}"
mkdir -p "$LAB"
LAB="$(cd "$LAB" && pwd)"

fail() { echo "$*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "it needs root"
missing=""
for name in dockerd docker containerd runc busybox; do
  command -v "$name" > /dev/null || missing="$missing $name"
done
[ -z "$missing" ] || fail "not installed:$missing"

# A mount namespace without the empty newer cgroups of machines that mount both kinds, as
# tools/podman-lab.sh has; what the daemon mounts goes with it.
space() {
  if [ -f "$LAB/space.pid" ] && kill -0 "$(cat "$LAB/space.pid")" 2> /dev/null; then return; fi
  # shellcheck disable=SC2016 # the inner shell's own
  unshare -m setsid sh -c '
    mount --make-rprivate /
    [ ! -d /sys/fs/cgroup/unified ] || umount /sys/fs/cgroup/unified
    echo $$ > "$1/space.pid.new" && mv "$1/space.pid.new" "$1/space.pid"
    exec sleep infinity' space "$LAB" < /dev/null > /dev/null 2>&1 &
  for _ in $(seq 200); do
    [ ! -f "$LAB/space.pid" ] || return 0
    sleep 0.02
  done
  fail "no mount namespace"
}

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
    --bridge none --iptables=false --ip-forward=false --ip-masq=false \
    --exec-opt native.cgroupdriver=cgroupfs < /dev/null >> "$LAB/service.log" 2>&1) &
  echo $! > "$LAB/service.pid"
  for _ in $(seq 1500); do
    if curl -s -o /dev/null --max-time 2 --unix-socket "$LAB/docker.sock" http://d/_ping; then return 0; fi
    kill -0 "$(cat "$LAB/service.pid")" 2> /dev/null || fail "the daemon ended: $(tail -n 3 "$LAB/service.log")"
    sleep 0.02
  done
  fail "the daemon does not answer: $(tail -n 3 "$LAB/service.log")"
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
  local root="$LAB/rootfs" applet tag
  mkdir -p "$root"/{bin,usr/bin,etc,tmp,work,proc,sys,dev}
  cp "$(command -v busybox)" "$root/bin/busybox"
  for applet in $("$root/bin/busybox" --list); do
    [ "$applet" = busybox ] || ln -sf /bin/busybox "$root/bin/$applet"
  done
  echo "root:x:0:0:root:/:/bin/sh" > "$root/etc/passwd"
  tar -C "$root" -cf "$LAB/image.tar" .
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
