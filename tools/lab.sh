# shellcheck shell=bash
# What the labs of podman and docker share. Sourced by them, with LAB set; not a command.

fail() { echo "$*" >&2; exit 1; }

# Whoever lacks what a lab needs is told of all of it at once.
need() { # PROGRAMS...
  local name missing=""
  [ "$(id -u)" = 0 ] || fail "it needs root"
  for name in "$@"; do
    command -v "$name" > /dev/null || missing="$missing $name"
  done
  [ -z "$missing" ] || fail "not installed:$missing"
}

# Where cgroups are mounted in both kinds at once, runtimes take the empty one of the newer kind for
# the only one. A mount namespace without it, which all that the lab starts shares, helps.
space() {
  if [ -f "$LAB/space.pid" ] && kill -0 "$(cat "$LAB/space.pid")" 2> /dev/null; then return; fi
  # shellcheck disable=SC2016 # the inner shell's own
  unshare -m setsid sh -c '
    mount --make-rprivate /
    [ ! -d /sys/fs/cgroup/unified ] || umount /sys/fs/cgroup/unified
    # Users of its own, which nobody outside of the lab hears of.
    if [ -n "${SUBORDINATE:-}" ]; then
      echo "$SUBORDINATE" > "$1/subordinate" && chmod 644 "$1/subordinate"
      touch /etc/subuid /etc/subgid
      mount --bind "$1/subordinate" /etc/subuid && mount --bind "$1/subordinate" /etc/subgid
    fi
    echo $$ > "$1/space.pid.new" && mv "$1/space.pid.new" "$1/space.pid"
    exec sleep infinity' space "$LAB" < /dev/null > /dev/null 2>&1 &
  for _ in $(seq 200); do
    [ ! -f "$LAB/space.pid" ] || return 0
    sleep 0.02
  done
  fail "no mount namespace"
}

# Waits until the service answers at a socket, or has ended: its pid is in service.pid.
answers() { # SOCKET
  for _ in $(seq 1500); do
    if curl -s -o /dev/null --max-time 2 --unix-socket "$1" http://d/_ping; then return 0; fi
    kill -0 "$(cat "$LAB/service.pid")" 2> /dev/null || fail "the service ended: $(tail -n 3 "$LAB/service.log")"
    sleep 0.02
  done
  fail "the service does not answer: $(tail -n 3 "$LAB/service.log")"
}

# The files of the test images, a busybox, as image.tar.
rootfs() {
  local root="$LAB/rootfs" applet
  mkdir -p "$root"/{bin,usr/bin,etc,tmp,work,proc,sys,dev}
  cp "$(command -v busybox)" "$root/bin/busybox"
  for applet in $("$root/bin/busybox" --list); do
    [ "$applet" = busybox ] || ln -sf /bin/busybox "$root/bin/$applet"
  done
  echo "root:x:0:0:root:/:/bin/sh" > "$root/etc/passwd"
  tar -C "$root" -cf "$LAB/image.tar" .
}
