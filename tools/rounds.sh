# shellcheck shell=bash
# What the rounds of kills share: an exchange and an agent of their own, jobs, and the verdict. Sourced by
# them, with $rounds and $kinds set; not a command. Makes $work, an empty folder that goes at the end.

tasks="${TASKS:-12}"
dayan="$(realpath "${DAYAN:-${CARGO_TARGET_DIR:-target}/debug/dayan}")"
work="$(mktemp -d)"
chmod 755 "$work"
mkdir -p "$work/home"
export HOME="$work/home" XDG_CONFIG_HOME="$work/config" DAYAN_LOG="${DAYAN_LOG:-warn}"
# Repeats a choice of moments.
RANDOM="${SEED:-1}"
jobs=()

say() { printf '%s %s\n' "$(date +%T)" "$*"; }
pause() { read -rt "$1" <> <(:) || true; }

# Ends the server and the agent, and removes the folder. Whoever sources this ends its own first.
finish_rounds() {
  local name
  for name in agent server; do
    [ ! -f "$work/$name.pid" ] || kill "$(cat "$work/$name.pid")" 2> /dev/null || true
  done
  wait 2> /dev/null || true
  if [ "${KEEP:-}" ]; then say "kept: $work"; else rm -rf "$work"; fi
}

wait_for() { # WHAT COMMAND...
  local what="$1"
  shift
  for _ in $(seq 900); do "$@" > /dev/null 2>&1 && return; pause 0.1; done
  say "gave up waiting for $what"
  tail -n 20 "$work"/*.log >&2
  exit 1
}

# At the same place each time: who is started again must be found. Below the ports that the system gives to
# outgoing connections, which one of those could have by then.
free_port() {
  python3 - << 'PY'
import random, socket
while True:
    port = random.randrange(20000, 32000)
    with socket.socket() as tried:
        if tried.connect_ex(("127.0.0.1", port)) != 0:
            print(port)
            break
PY
}
port="$(free_port)"
url="http://127.0.0.1:$port"
server() {
  "$dayan" serve --listen "127.0.0.1:$port" --usage-every 1s --data "$work/exchange" >> "$work/server.log" 2>&1 &
  echo $! > "$work/server.pid"
}
agent() {
  "$dayan" agent --url "$url" --measure off "$@" --data "$work/agent" >> "$work/agent.log" 2>&1 &
  echo $! > "$work/agent.pid"
}
shoot() { # NAME
  local pid
  pid="$(cat "$work/$1.pid")"
  kill -9 "$pid"
  wait "$pid" 2> /dev/null || true
}

# An exchange with a provider and a consumer, and an agent that joins with these options.
open_exchange() { # POOL OPTIONS...
  local pool="$1" join org
  shift
  server
  wait_for "the server" test -s "$work/exchange/operator.token"
  log_in() { "$dayan" login "$url" --token - < "$work/exchange/operator.token"; }
  wait_for "the server" log_in
  for org in site buyer; do "$dayan" org create "$org" > /dev/null; done
  "$dayan" provider apply site --org site > /dev/null
  "$dayan" provider verify site > /dev/null
  "$dayan" provider activate site > /dev/null
  "$dayan" org deposit buyer "50000.00 CNY" --reference rounds > /dev/null
  "$dayan" project create buyer/rounds > /dev/null
  join="$("$dayan" provider invite site -o json | grep -oE 'dyj1[^"]*' | head -n 1)"
  agent --join "$join" --site "Gui'an" --pool "$pool" "$@"
  is_active() { "$dayan" pools | grep "$pool" | grep -q active; }
  wait_for "the pool" is_active
  "$dayan" offer create "$pool" --core-hour 0.12 > /dev/null
}

submit() {
  local made
  for _ in $(seq 100); do
    made="$("$dayan" submit "$work/job.yaml" -o json 2> /dev/null | grep -oE 'job_[0-9a-z]+' | head -n 1)" || made=""
    [ -z "$made" ] || { echo "$made"; return; }
    pause 0.2
  done
  return 1
}

# Each kind as often, in an order that the seed gives. `kill_one KIND` is who sources this; it says in
# $what what it killed.
# shellcheck disable=SC2154 # who sources this says $rounds and $kinds
kill_in_rounds() {
  local order all round=0 kind job
  order="$(for kind in "${kinds[@]}"; do for _ in $(seq "$rounds"); do echo "$RANDOM $kind"; done; done |
    sort -n | cut -d' ' -f2)"
  all="$(wc -l <<< "$order")"
  for kind in $order; do
    round=$(( round + 1 ))
    job="$(submit)"
    jobs+=("$job")
    # Somewhere within the seconds that the array takes.
    pause "$(( RANDOM % 3 )).$(( RANDOM % 10 ))"
    what="$kind"
    case "$kind" in
      agent) shoot agent; pause "0.$(( RANDOM % 10 ))"; agent ;;
      server) shoot server; pause "0.$(( RANDOM % 10 ))"; server ;;
      *) kill_one "$kind" ;;
    esac
    say "round $round of $all: killed $what under $job"
  done
}

state_of() {
  "$dayan" show "$1" -o json 2> /dev/null |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["state"])' 2> /dev/null || echo unknown
}

# What is done now and then while jobs are waited for; who sources this may say.
while_waiting() { :; }

# Waits for all jobs, and gathers what the exchange says of them and of the bills.
gather() {
  local job id look
  say "waiting for $(( ${#jobs[@]} * tasks )) tasks"
  wait_for "the server" "$dayan" pools
  for job in "${jobs[@]}"; do
    for look in $(seq 600); do
      case "$(state_of "$job")" in succeeded | failed | cancelled) break ;; esac
      [ $(( look % 10 )) != 0 ] || while_waiting
      pause 0.5
    done
  done
  for job in "${jobs[@]}"; do "$dayan" show "$job" -o json; done > "$work/shown.json"
  "$dayan" invoice ls -o json > "$work/invoices.json"
  for id in $(python3 -c 'import json, sys; print(*[i["id"] for i in json.load(open(sys.argv[1]))])' "$work/invoices.json"); do
    "$dayan" invoice get "$id" -o json
  done > "$work/bills.json"
}

# What is said of it all, of lines in $work/ran: JOB TASK ATTEMPT began|ended TIME.
verdict() { # WORDS...
  local verdict=0
  python3 tools/rounds_verdict.py "$work" "$tasks" "$@" || verdict=1
  "$dayan" ledger check -o json | grep -oE '"balanced": ?(true|false)' || verdict=1
  for kind in "${kinds[@]}"; do echo "killed $kind: $rounds times"; done
  if [ "$verdict" = 0 ]; then say "nothing lost, nothing run twice, billed once"; else say "something is wrong"; fi
  return "$verdict"
}
