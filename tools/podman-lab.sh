#!/usr/bin/env bash
# A podman of its own for tests: storage, images and a service in one folder, nothing of the machine's.
#
#   LAB=folder tools/podman-lab.sh start     a service at $LAB/podman.sock, and images
#   LAB=folder tools/podman-lab.sh kill      kill -9 of the service; its containers go on
#   LAB=folder tools/podman-lab.sh service   the service again
#   LAB=folder tools/podman-lab.sh run ARGS  podman itself, on the same storage
#   LAB=folder tools/podman-lab.sh registry  a registry that asks for a login (film, U*U), with an
#                                            image in it; prints the image's name. Before `start`
#   LAB=folder tools/podman-lab.sh stop      everything ends and goes
#
# With ROOTLESS=1 all of it is the user nobody's, without rights, with 65,536 users of its own from 2,000,000,000
# on, which are known in the lab's own space only. That needs the package uidmap besides, and a folder that
# nobody can reach.
#
# Needs root and: podman, crun, catatonit, busybox-static. The images are made here, offline:
# localhost/dayan-test:1 and :2, a busybox each. The registry needs docker-registry.
set -euo pipefail
: "${LAB:?the folder of the lab}"
mkdir -p "$LAB"
LAB="$(cd "$LAB" && pwd)"

# shellcheck source=tools/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/lab.sh"
need podman crun busybox

# Who podman is, where it is not root.
user=()
if [ -n "${ROOTLESS:-}" ]; then
  need newuidmap newgidmap setpriv
  user=(setpriv --reuid nobody --regid nogroup --clear-groups
    env "HOME=$LAB/home" "XDG_RUNTIME_DIR=$LAB/xdg" "USER=nobody")
  export SUBORDINATE=nobody:2000000000:65536
  mkdir -p "$LAB"/{home,xdg,storage,run,tmp}
  chmod 711 "$LAB"
  chown nobody:nogroup "$LAB"/{home,xdg,storage,run,tmp}
  chmod 700 "$LAB/xdg"
  socket="$LAB/run/podman.sock"
  # Where everybody looks for it.
  ln -sfn run/podman.sock "$LAB/podman.sock"
else
  socket="$LAB/podman.sock"
fi

podman_here() {
  cd /
  # Registries of the lab speak plain HTTP.
  [ ! -f "$LAB/registries.conf" ] || export CONTAINERS_REGISTRIES_CONF="$LAB/registries.conf"
  exec nsenter -t "$(cat "$LAB/space.pid")" -m ${user[@]+"${user[@]}"} podman \
    --root "$LAB/storage" --runroot "$LAB/run" --tmpdir "$LAB/tmp" --cgroup-manager cgroupfs \
    --events-backend file --runtime crun "$@"
}

service() {
  rm -f "$socket"
  (podman_here system service --time 0 "unix://$socket" \
    < /dev/null >> "$LAB/service.log" 2>&1) &
  echo $! > "$LAB/service.pid"
  answers "$socket"
}

kill_service() {
  [ ! -f "$LAB/service.pid" ] || kill -9 "$(cat "$LAB/service.pid")" 2> /dev/null || true
}

images() {
  local tag
  rootfs
  for tag in 1 2; do
    (podman_here import -q "$LAB/image.tar" "localhost/dayan-test:$tag" > /dev/null)
  done
}

registry() {
  command -v docker-registry > /dev/null || fail "not installed: docker-registry"
  # The password "U*U", as bcrypt's own test vectors have it.
  # shellcheck disable=SC2016 # dollars of the hash
  echo 'film:$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW' > "$LAB/htpasswd"
  cat > "$LAB/registry.yml" << CONFIG
version: 0.1
storage: {filesystem: {rootdirectory: $LAB/registry}}
http: {addr: "127.0.0.1:0"}
auth: {htpasswd: {realm: lab, path: $LAB/htpasswd}}
CONFIG
  docker-registry serve "$LAB/registry.yml" < /dev/null > "$LAB/registry.log" 2>&1 &
  echo $! > "$LAB/registry.pid"
  local address=""
  for _ in $(seq 500); do
    address="$(grep -oE 'listening on 127\.0\.0\.1:[0-9]+' "$LAB/registry.log" | grep -oE '127.*' || true)"
    [ -z "$address" ] || break
    sleep 0.02
  done
  [ -n "$address" ] || fail "the registry does not start: $(tail -n 3 "$LAB/registry.log")"
  printf '[[registry]]\nlocation = "%s"\ninsecure = true\n' "$address" > "$LAB/registries.conf"
  space
  [ -f "$LAB/image.tar" ] || images
  (podman_here push -q --creds 'film:U*U' localhost/dayan-test:1 "$address/studio/test:1" > /dev/null)
  echo "$address/studio/test:1"
}

case "${1:-}" in
  registry) registry ;;
  start)
    space
    [ -f "$LAB/image.tar" ] || images
    service
    ;;
  service) service ;;
  kill) kill_service ;;
  run)
    shift
    podman_here "$@"
    ;;
  stop)
    if [ -f "$LAB/space.pid" ]; then
      (timeout 60 bash "$0" run rm -a -f -t 0 > /dev/null 2>&1) || true
      kill_service
      [ ! -f "$LAB/registry.pid" ] || kill "$(cat "$LAB/registry.pid")" 2> /dev/null || true
      # Mounts of what is left go with the namespace.
      kill -9 "$(cat "$LAB/space.pid")" 2> /dev/null || true
    fi
    rm -rf "$LAB" 2> /dev/null || true
    ;;
  *) fail "usage: LAB=folder $0 start|kill|service|run|stop" ;;
esac
