#!/usr/bin/env bash
# How fast it is on this machine. `tools/bench.sh [PART…]`; without a part, all of them:
# ledger schedule store books engines kernels submit noop usage queue idle place control. What each measures:
# docs/performance.md.
#
# Everything printed is kept in bench-out/ under the commit and the moment.
set -euo pipefail
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-target}"
mkdir -p bench-out
out="bench-out/$(git rev-parse --short HEAD)-$(date -u +%Y%m%dT%H%M%SZ).txt"

machine() {
  echo "commit    $(git rev-parse HEAD)$(git diff --quiet HEAD -- crates examples Cargo.lock || echo ' and changes')"
  echo "at        $(date -u +%Y-%m-%dT%H:%M:%SZ)"
  echo "kernel    $(uname -sr)"
  echo "processor $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
  echo "cores     $(nproc)"
  echo "memory    $(awk '/MemTotal/ { printf "%.1f GB", $2 / 1e6 }' /proc/meminfo)"
  echo "disk      $(df --output=source,fstype . | tail -n 1)"
  echo "load      $(cut -d ' ' -f 1-3 /proc/loadavg)"
  echo "rust      $(rustc --version)"
}

example() { # PACKAGE EXAMPLE [ARGS…]
  local package="$1" name="$2"
  shift 2
  echo
  echo "== $package: $name $*"
  cargo build --release --quiet -p "$package" --example "$name"
  "$target/release/examples/$name" "$@"
}

scale() {
  echo "$*"
  "$target/release/dayan" sim scale "$@" -o json
}

part() {
  case "$1" in
    ledger) example dayan-ledger ledger_rate ;;
    schedule)
      echo
      echo "== dayan sim scale"
      cargo build --release --quiet -p dayan-cli
      scale --nodes 1000 --tasks 10000
      scale --nodes 2000 --tasks 50000
      scale --nodes 4000 --tasks 50000
      scale --nodes 5000 --placed 5000 --tasks 50000
      scale --nodes 6100 --tasks 2000000
      scale --nodes 100000 --tasks 1000000 --node-shapes 500 --task-shapes 10000
      ;;
    store)
      local folder
      folder="$(mktemp -d -p bench-out store.XXXXXX)"
      example dayan-store store_rate "$folder"
      rm -rf "$folder"
      if [ -n "${DAYAN_TEST_POSTGRES_URL:-}" ]; then
        example dayan-store store_rate "$DAYAN_TEST_POSTGRES_URL"
      fi
      ;;
    books)
      local books
      books="$(mktemp -d -p bench-out books.XXXXXX)"
      example dayan-server books_rate "$books"
      rm -rf "$books"
      ;;
    engines) example dayan-engines spawn_rate ;;
    kernels) example dayan-agent measure ;;
    # The whole program from outside: `dayan serve` and `dayan agent` over HTTP.
    submit | noop | usage | queue | idle | place | control)
      echo
      echo "== dayan-bench $1"
      cargo build --release --quiet -p dayan-cli -p dayan-benches
      "$target/release/dayan-bench" "$1"
      ;;
    *)
      echo "no part is called \`$1\`: ledger schedule store books engines kernels submit noop usage queue idle place control" >&2
      exit 2
      ;;
  esac
}

parts=("$@")
[ "${#parts[@]}" -gt 0 ] || parts=(ledger schedule store books engines kernels submit noop usage queue idle place control)
{
  machine
  for name in "${parts[@]}"; do part "$name"; done
} 2>&1 | tee "$out"
echo
echo "kept in $out"
