#!/usr/bin/env bash
# Runs every test there is and counts them. Called by `make test` and `.ci/run`.
#
# Stages: prepare (what tests need from the system), unit (all of the workspace, the real program
# included), doc (examples in the documentation of code, where there are any), schemathesis (the
# HTTP interface against its own description).
#
# Leaves target/test-summary: one line for each stage, "NAME PASSED FAILED SKIPPED".
set -euo pipefail
cd "$(dirname "$0")/.."

target="${CARGO_TARGET_DIR:-target}"
export CARGO_TARGET_DIR="$target"
logs="$target/test-logs"
summary="$target/test-summary"
mkdir -p "$logs"
: > "$summary"
export CARGO_TERM_COLOR=never NO_COLOR=1
# Nothing here asks a person anything.
exec < /dev/null

# What is not built unless asked for is tested all the same. The Kubernetes engine runs on a real control
# plane where KUBEBUILDER_ASSETS names its programs, else on a fake of ours.
features=(--features dayan-cli/kubernetes,dayan-cli/s3)

say() { printf '\n== %s\n' "$*"; }
record() { printf '%s %d %d %d\n' "$@" >> "$summary"; }

# --- prepare ---------------------------------------------------------------------------------
# PostgreSQL for the second half of the store's conformance suite, bubblewrap for isolated tasks,
# Slurm and what it keeps accounts in for the engine of that name, podman, docker and what their images
# are made of for containers, virtual environments for schemathesis and for the object store below.
missing_packages() {
  compgen -G '/usr/lib/postgresql/*/bin/initdb' > /dev/null || [ -n "${DAYAN_TEST_POSTGRES_URL:-}" ] \
    || echo postgresql
  command -v bwrap > /dev/null || echo bubblewrap
  command -v slurmctld > /dev/null || echo slurmctld
  command -v slurmd > /dev/null || echo slurmd
  command -v sbatch > /dev/null || echo slurm-client
  command -v slurmdbd > /dev/null || echo slurmdbd
  command -v slurmrestd > /dev/null || echo slurmrestd
  command -v munged > /dev/null || echo munge
  command -v mariadbd > /dev/null || echo mariadb-server
  compgen -G '/usr/lib/*/slurm-wlm/select_cons_tres.so' > /dev/null || echo slurm-wlm-basic-plugins
  compgen -G '/usr/lib/*/slurm-wlm/accounting_storage_mysql.so' > /dev/null || echo slurm-wlm-mysql-plugin
  compgen -G '/usr/lib/*/slurm-wlm/auth_jwt.so' > /dev/null || echo slurm-wlm-jwt-plugin
  command -v podman > /dev/null || echo podman
  command -v crun > /dev/null || echo crun
  command -v catatonit > /dev/null || echo catatonit
  command -v busybox > /dev/null || echo busybox-static
  command -v newuidmap > /dev/null || echo uidmap
  command -v docker-registry > /dev/null || echo docker-registry
  { command -v dockerd && command -v docker && command -v runc; } > /dev/null || echo docker.io
  python3 -c 'import ensurepip, venv' 2> /dev/null || echo python3-venv
}

prepare() {
  local missing
  missing="$(missing_packages | tr '\n' ' ')"
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    say "installing: $missing"
    # shellcheck disable=SC2086 # a list of package names
    DEBIAN_FRONTEND=noninteractive timeout 300 apt-get install -y -q --no-install-recommends $missing \
      > "$logs/apt.log" 2>&1 \
      || { DEBIAN_FRONTEND=noninteractive timeout 120 apt-get update -q >> "$logs/apt.log" 2>&1 \
           && DEBIAN_FRONTEND=noninteractive timeout 300 \
              apt-get install -y -q --no-install-recommends $missing >> "$logs/apt.log" 2>&1; } \
      || tail -n 5 "$logs/apt.log"
    missing="$(missing_packages | tr '\n' ' ')"
    [ -n "$missing" ] || return 0
  else
    say "for all tests, run:  sudo apt-get install -y $missing"
  fi
  for package in $missing; do
    case "$package" in
      postgresql) echo "skipping: the store on PostgreSQL (no PostgreSQL here)" ;;
      bubblewrap) echo "skipping: isolated tasks (no bubblewrap here)" ;;
      slurmctld) echo "skipping: the Slurm engine on a real cluster (no Slurm here)" ;;
      podman) echo "skipping: the engine for containers on a real podman (no podman here)" ;;
      docker.io) echo "skipping: the engine for containers on a real docker (no docker here)" ;;
      slurm* | munge | mariadb-server | crun | catatonit | busybox-static | docker-registry) ;;
      python3-venv) echo "skipping: schemathesis (no Python virtual environments here)" ;;
    esac
  done
}

# A stand-in for Amazon's S3, in Python, for tests of inputs and outputs in object stores.
object_store() {
  local venv="$target/moto"
  if [ ! -x "$venv/bin/moto_server" ]; then
    { python3 -m venv "$venv" && timeout 300 "$venv/bin/pip" install -q "moto[server,s3]>=5,<6"; } \
      > "$logs/moto.log" 2>&1 || true
  fi
  if [ -x "$venv/bin/moto_server" ]; then
    DAYAN_TEST_MOTO="$(realpath "$venv")/bin/moto_server"
    export DAYAN_TEST_MOTO
  else
    echo "skipping: object stores (moto[server] could not be installed from PyPI)"
  fi
}

# Clients of GA4GH's Task Execution Service, each in an environment of its own: they want different
# versions of one another. cwl-tes and what it is made of are of 2019, and are built by a setuptools of
# that time.
tes_clients() {
  local home="$target/tes" log="$logs/tes-clients.log"
  mkdir -p "$home"
  : > "$log"
  client() { # NAME PROGRAM COMMANDS...
    local name="$1" program="$2"
    shift 2
    [ -x "$home/$name/bin/$program" ] && [ -f "$home/$name/whole" ] && return
    rm -rf "${home:?}/$name"
    { python3 -m venv "$home/$name" && "$@" && touch "$home/$name/whole"; } >> "$log" 2>&1 \
      || { rm -rf "${home:?}/$name"; echo "skipping: $name on TES (it could not be installed from PyPI)"; }
  }
  install_py_tes() { timeout 200 "$home/py-tes/bin/pip" install -q 'py-tes==1.1.4'; }
  install_snakemake() {
    local pip="$home/snakemake/bin/pip" plugin='snakemake-storage-plugin-s3==0.3.6'
    timeout 400 "$pip" install -q 'snakemake==9.27.1' 'snakemake-executor-plugin-tes==0.1.3' "$plugin" \
      && timeout 100 "$pip" download -q --no-deps -d "$home/snakemake/wheels" "$plugin"
  }
  install_cwl_tes() {
    local pip="$home/cwl-tes/bin/pip"
    timeout 100 "$pip" install -q 'setuptools<58' wheel \
      && timeout 400 "$pip" install -q --no-build-isolation 'cwl-tes==0.3.0'
  }
  client py-tes python install_py_tes
  client snakemake snakemake install_snakemake
  client cwl-tes cwl-tes install_cwl_tes
  DAYAN_TEST_TES="$(realpath "$home")"
  export DAYAN_TEST_TES
}

# --- unit ------------------------------------------------------------------------------------
# The number before a word in the last line that a test runner sums up with; 0 if it is not there.
number() { # LINE WORD
  local found
  found="$(grep -oE "[0-9]+ $2" <<< "$1" | tail -n 1 || true)"
  echo "${found%% *}" | grep -E . || echo 0
}

unit() {
  say "building"
  # The programs first: tests of the whole start them.
  if ! cargo build --workspace --bins --quiet "${features[@]}" \
    || ! cargo build -p dayan-engines -p dayan-cli --example kube_lab --quiet "${features[@]}"; then
    echo "the workspace does not build"
    record unit 0 1 0
    return
  fi
  if cargo nextest --version > /dev/null 2>&1; then
    unit_nextest
  else
    unit_cargo
  fi
}

unit_nextest() {
  say "unit and whole (nextest)"
  local log="$logs/unit.log" junit="$target/nextest/ci/junit.xml" line passed failed skipped
  rm -f "$junit"
  cargo nextest run --workspace --profile ci "${features[@]}" 2>&1 | tee "$log" || true
  line="$(grep -E '^ *Summary \[' "$log" | tail -n 1 || true)"
  if [ -z "$line" ]; then
    record unit 0 1 0
    return
  fi
  passed="$(number "$line" passed)"
  failed=$(( $(number "$line" failed) + $(number "$line" 'timed out') + $(number "$line" 'exec failed') ))
  # A run that was cut short has tests that nobody can call passed.
  if [[ "$line" =~ [0-9]+/[0-9]+\ tests?\ run ]]; then failed=$(( failed + 1 )); fi
  skipped="$(number "$line" skipped)"
  # Tests that skipped themselves passed only in name.
  if [ -f "$junit" ]; then
    local silent
    silent="$(grep -c 'SKIPPED:' "$junit" || true)"
    grep -o 'SKIPPED:.*' "$junit" | sort | uniq -c || true
    if [ "$silent" -gt "$passed" ]; then silent="$passed"; fi
    passed=$(( passed - silent ))
    skipped=$(( skipped + silent ))
  fi
  record unit "$passed" "$failed" "$skipped"
}

# Sums the result lines of cargo's own runner: `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
sum_results() { # STAGE LOG STATUS
  awk -v stage="$1" -v status="$3" '
    /^test result:/ {
      for (i = 1; i < NF; i++) {
        if ($(i + 1) ~ /^passed/) passed += $i
        if ($(i + 1) ~ /^failed/) failed += $i
        if ($(i + 1) ~ /^ignored/) skipped += $i
      }
    }
    END {
      if (status != 0 && failed == 0) failed = 1   # it did not build, or it died
      printf "%s %d %d %d\n", stage, passed, failed, skipped
    }' "$2" >> "$summary"
}

unit_cargo() {
  say "unit and whole (cargo test)"
  local log="$logs/unit.log" status=0
  # One thread: tests of the whole machine would measure one another.
  cargo test --workspace --no-fail-fast --bins --lib --tests "${features[@]}" -- --test-threads 1 2>&1 | tee "$log" || status=$?
  sum_results unit "$log" "$status"
}

# --- doc -------------------------------------------------------------------------------------
doc() {
  # A block that names another language (```text) is no test.
  local rooms=() manifest room
  for manifest in crates/*/Cargo.toml; do
    room="$(dirname "$manifest")"
    grep -q '^doctest = false' "$manifest" && continue
    if grep -rqE '^\s*//[/!] ```(rust.*|no_run|should_panic|compile_fail)\s*$' "$room/src" --include='*.rs'; then
      rooms+=(-p "dayan-$(basename "$room")")
    fi
  done
  [ "${#rooms[@]}" -gt 0 ] || return 0
  say "examples in documentation"
  local log="$logs/doc.log" status=0
  cargo test --doc --no-fail-fast "${rooms[@]}" 2>&1 | tee "$log" || status=$?
  sum_results doc "$log" "$status"
}

# --- schemathesis ----------------------------------------------------------------------------
# tests/schemathesis.sh ends with a line "N passed, N failed, N skipped" of its own.
schemathesis() {
  [ -f tests/schemathesis.sh ] || return 0
  say "schemathesis"
  local log="$logs/schemathesis.log" status=0 line passed failed skipped
  timeout 900 bash tests/schemathesis.sh 2>&1 | tee "$log" || status=$?
  line="$(grep -E '[0-9]+ passed' "$log" | tail -n 1 || true)"
  passed="$(number "$line" passed)"
  failed="$(number "$line" failed)"
  skipped="$(number "$line" skipped)"
  if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi
  if [ "$status" -eq 0 ] && [ -z "$line" ]; then passed=1; fi
  record schemathesis "$passed" "$failed" "$skipped"
}

prepare
object_store
tes_clients
unit
doc
schemathesis

say "result"
awk '{ printf "%-14s %5d passed %5d failed %5d skipped\n", $1, $2, $3, $4
       p += $2; f += $3; s += $4 }
     END { printf "\n%d passed, %d failed, %d skipped\n", p, f, s; exit (f > 0 || p == 0) }' "$summary"
