#!/usr/bin/env bash
# One film shot over three kinds of pools at once: a Slurm cluster, containers, and plain processes;
# and a box of water as a batch job. Everything is on this machine, in a folder of its own, and gone
# afterwards but for the results.
#
#   examples/three-pools.sh [RESULTS]        results unless told
#
# Needs root (for the cluster and for podman) and Debian's packages; says which are missing.
set -euo pipefail
cd "$(dirname "$0")/.."
results="${1:-results}"
mkdir -p "$results"
results="$(realpath "$results")"

missing=""
need() { command -v "$1" > /dev/null || missing="$missing $2"; }
need blender blender
need gmx gromacs
need slurmctld "slurmctld slurmd slurm-client slurm-wlm-basic-plugins"
need munged munge
need podman "podman crun catatonit"
need busybox busybox-static
need curl curl
if [ -n "$missing" ]; then
  echo "for this example, run:  apt-get install -y --no-install-recommends$missing" >&2
  exit 1
fi
[ "$(id -u)" = 0 ] || { echo "the cluster and podman of this example need root" >&2; exit 1; }

if [ -z "${DAYAN:-}" ]; then
  cargo build --release --quiet -p dayan-cli
  DAYAN="${CARGO_TARGET_DIR:-target}/release/dayan"
fi
dayan="$(realpath "$DAYAN")"
work="$(mktemp -d)"
chmod 755 "$work"
export HOME="$work/home" NODES=2 CPN=1 DBD=0
mkdir -p "$HOME"
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2> /dev/null || true; done
  wait 2> /dev/null || true
  LAB="$work/podman" tools/podman-lab.sh stop > /dev/null 2>&1 || true
  LAB="$work/slurm" tools/slurm-lab.sh stop > /dev/null 2>&1 || true
  rm -rf "$work"
}
trap finish EXIT
wait_for() {
  for _ in $(seq 600); do "$@" > /dev/null 2>&1 && return; read -rt 0.2 <> <(:) || true; done
  echo "gave up waiting for: $*" >&2
  tail -n 20 "$work"/*.log >&2
  exit 1
}

echo "A Slurm cluster of two nodes, and podman with an image of this machine's Blender."
LAB="$work/slurm" tools/slurm-lab.sh start
LAB="$work/podman" tools/podman-lab.sh start
# Every package that Blender needs, as files of one image: nothing is fetched from anywhere.
packages() {
  apt-cache depends --recurse --installed --no-recommends --no-suggests --no-conflicts --no-breaks \
    --no-replaces --no-enhances blender | grep -E '^[a-z0-9]' | sort -u
}
# Names of packages that are only provided by others have no files.
{ packages | xargs dpkg-query -L 2> /dev/null || true; } | grep -vE '^/(usr/share/(doc|man|locale|info)|dev|proc|sys)' \
  | sed -E 's#^/(s?bin|lib(32|64)?)/#/usr/\1/#' | sort -u | while read -r path; do if [ -L "$path" ] || [ -f "$path" ]; then echo "$path"; fi; done > "$work/files"
# The links that make /bin and its kin parts of /usr, and those of the alternatives.
{ find /bin /sbin /lib /lib64 -maxdepth 0 -type l; cat "$work/files"; find /etc/alternatives -type l; find /usr/bin /usr/lib -lname '/etc/alternatives/*'; echo /etc/ld.so.cache; } \
  | awk '!seen[$0]++' | tar --create --no-recursion --hard-dereference --ignore-failed-read --files-from - 2> /dev/null > "$work/blender.tar"
LAB="$work/podman" tools/podman-lab.sh run import --quiet "$work/blender.tar" localhost/blender:here > /dev/null
rm "$work/blender.tar"

port=$(( 20000 + RANDOM % 20000 ))
url="http://127.0.0.1:$port"
"$dayan" serve --data "$work/exchange" --listen "127.0.0.1:$port" > "$work/serve.log" 2>&1 &
pids+=("$!")
wait_for test -s "$work/exchange/operator.token"
log_in() { "$dayan" login "$url" --token - < "$work/exchange/operator.token"; }
wait_for log_in
quiet() { "$dayan" "$@" > /dev/null 2>> "$work/said.log"; }
for site in guian-dc shenzhen-dc hangzhou-dc; do
  quiet org create "$site"
  quiet provider apply "$site" --org "$site"
  quiet provider verify "$site"
  quiet provider activate "$site"
done
join() { "$dayan" provider invite "$1" 2>> "$work/said.log"; }
agent() { # NAME CITY PROVIDER WORDS...
  local name="$1" city="$2" provider="$3"
  shift 3
  "$dayan" agent --url "$url" --join "$(join "$provider")" --site "$city" --pool "$name" --measure off \
    --data "$work/$name" "$@" > "$work/$name.log" 2>&1 &
  pids+=("$!")
}
eval "$(LAB="$work/slurm" tools/slurm-lab.sh env)"
agent cluster "Gui'an New Area" guian-dc --engine slurm
agent boxes Shenzhen shenzhen-dc --engine podman --container-socket "$work/podman/podman.sock" --pull never \
  --default-image localhost/blender:here --cpus 1 --memory 4GB
agent machine Hangzhou hangzhou-dc --engine process --cpus 1 --memory 4GB
active() { [ "$("$dayan" pools | grep -c ' active ')" = 3 ]; }
wait_for active
for pool in cluster boxes machine; do quiet offer create "$pool" --core-hour 0.36; done

for owner in studio-a/film-3 lab-n/fluids; do
  quiet org create "${owner%%/*}"
  quiet org deposit "${owner%%/*}" "1000.00 CNY" --reference "${owner%%/*} 1"
  quiet project create "$owner"
done
echo "24 frames go to all three."
shot="$("$dayan" submit examples/blender/shot.yaml -o json | grep -oE 'job_[0-9a-z]+' | head -n 1)"
wait_for_end() {
  local state
  for _ in $(seq 1800); do
    state="$("$dayan" show "$1" -o json | grep -m 1 '^  "state"' | cut -d'"' -f4)"
    case "$state" in succeeded) return ;; failed | cancelled) break ;; esac
    read -rt 0.5 <> <(:) || true
  done
  "$dayan" show "$1"
  "$dayan" logs "$1" --stderr || true
  exit 1
}
wait_for_end "$shot"
"$dayan" ps
echo "Frames by pool:"
"$dayan" show "$shot" -o json | grep -oE '"pool": "pool_[0-9a-z]+"' | sort | uniq -c | tee "$work/by-pool"
[ "$(wc -l < "$work/by-pool")" = 3 ] || { echo "not all three pools rendered" >&2; exit 1; }
# What lies there is of another run.
rm -rf "$results/shot" "$results/water"
"$dayan" data get dayan://studio-a/film-3/shot/ "$results/shot"
frames="$(find "$results/shot" -name 'frame_*.png' | wc -l)"
[ "$frames" = 24 ] || { echo "$frames frames instead of 24" >&2; exit 1; }

echo "A box of water, as a batch job on the machine."
# In Hangzhou, because the image has no GROMACS.
cp examples/gromacs/water.sh "$work/"
{ cat examples/gromacs/water.yaml; echo "placement: {regions: [Zhejiang]}"; } > "$work/water.yaml"
"$dayan" submit "$work/water.yaml" --wait
"$dayan" data get dayan://lab-n/fluids/water/ "$results/water"
tail -n 5 "$results/water/summary.txt"
"$dayan" ledger check
echo "Results: $results"
