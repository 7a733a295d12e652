#!/usr/bin/env bash
# A real Kubernetes control plane of its own on this machine, for tests: etcd, kube-apiserver,
# kube-controller-manager, kube-scheduler. No nodes: a test brings what stands in for one.
#
#   KUBEBUILDER_ASSETS=DIR LAB=DIR tools/kube-lab.sh start|stop|kill NAME|revive NAME
#
# KUBEBUILDER_ASSETS holds the programs, as the ecosystem's tests expect it. LAB is an empty folder.
# `kill` and `revive` end (as by kill -9) and start one program: etcd, apiserver, kcm, scheduler.
# Settings: PORT=6443 (the next three are used too, and ETCD_PORT and the one after it).
# In $LAB then: admin.kubeconfig, agent.kubeconfig (a user whose rights a test gives), plain.kubeconfig
# (a user without any), and a log of each program.
set -euo pipefail
: "${LAB:?an empty folder}"
port="${PORT:-6443}"; etcd_port="${ETCD_PORT:-2379}"
bin="${KUBEBUILDER_ASSETS:-}"
die() { echo "kube-lab: $*" >&2; exit 1; }

certificates() {
  local pki="$LAB/pki"
  mkdir -p "$pki"
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -keyout "$pki/ca.key" -out "$pki/ca.crt" -subj /CN=lab-ca \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
  openssl req -newkey rsa:2048 -nodes -keyout "$pki/server.key" -out "$pki/server.csr" -subj /CN=kube-apiserver
  printf '%s\n' 'subjectAltName=DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.0.0.1' \
    'extendedKeyUsage=serverAuth' 'basicConstraints=CA:FALSE' > "$pki/server.ext"
  openssl x509 -req -in "$pki/server.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -CAcreateserial -days 30 \
    -extfile "$pki/server.ext" -out "$pki/server.crt"
  openssl genrsa -out "$pki/accounts.key" 2048
  openssl rsa -in "$pki/accounts.key" -pubout -out "$pki/accounts.pub"
}

# A kubeconfig NAME whose user has TOKEN.
config() {
  cat > "$LAB/$1.kubeconfig" << C
apiVersion: v1
kind: Config
clusters: [{name: lab, cluster: {server: "https://127.0.0.1:$port", certificate-authority: $LAB/pki/ca.crt}}]
users: [{name: user, user: {token: $2}}]
contexts: [{name: lab, context: {cluster: lab, user: user}}]
current-context: lab
C
}

# Starts a program NAME in the background and notes its pid.
launch() {
  case "$1" in
    etcd)
      local urls=(--listen-client-urls "http://127.0.0.1:$etcd_port" --advertise-client-urls "http://127.0.0.1:$etcd_port"
        --listen-peer-urls "http://127.0.0.1:$((etcd_port + 1))" --initial-advertise-peer-urls "http://127.0.0.1:$((etcd_port + 1))"
        --initial-cluster "default=http://127.0.0.1:$((etcd_port + 1))")
      # Some builds of etcd for tests have flags of their own.
      local help
      help="$("$bin/etcd" --help 2>&1 || true)"
      if [[ "$help" == *-client-url* && "$help" != *listen-client-urls* ]]; then
        urls=(--client-url "http://127.0.0.1:$etcd_port" --peer-url "http://127.0.0.1:$((etcd_port + 1))" --unsafe-no-fsync)
      fi
      set -- "$1" "$bin/etcd" --data-dir "$LAB/etcd" "${urls[@]}" ;;
    apiserver)
      set -- "$1" "$bin/kube-apiserver" --etcd-servers="http://127.0.0.1:$etcd_port" --bind-address=127.0.0.1 --secure-port="$port" \
        --advertise-address=127.0.0.1 --endpoint-reconciler-type=none --tls-cert-file="$LAB/pki/server.crt" \
        --tls-private-key-file="$LAB/pki/server.key" --token-auth-file="$LAB/tokens.csv" --authorization-mode=Node,RBAC \
        --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$LAB/pki/accounts.pub" \
        --service-account-signing-key-file="$LAB/pki/accounts.key" --service-cluster-ip-range=10.0.0.0/24 \
        --cert-dir="$LAB/certs" --v=1 ${APISERVER_EXTRA:-} ;;
    kcm)
      set -- "$1" "$bin/kube-controller-manager" --kubeconfig="$LAB/kcm.kubeconfig" --bind-address=127.0.0.1 --secure-port="$((port + 1))" \
        --leader-elect=false --use-service-account-credentials=true --service-account-private-key-file="$LAB/pki/accounts.key" \
        --root-ca-file="$LAB/pki/ca.crt" --cert-dir="$LAB/certs-kcm" --v=1 --kube-api-qps=200 --kube-api-burst=400 \
        --node-monitor-grace-period="${NODE_GRACE:-24h}" ;;
    scheduler)
      set -- "$1" "$bin/kube-scheduler" --kubeconfig="$LAB/scheduler.kubeconfig" --bind-address=127.0.0.1 --secure-port="$((port + 2))" \
        --leader-elect=false --cert-dir="$LAB/certs-scheduler" --v=1 --kube-api-qps=200 --kube-api-burst=400 ;;
    *) die "there is no program '$1' here" ;;
  esac
  local name="$1"; shift
  "$@" >> "$LAB/$name.log" 2>&1 < /dev/null &
  echo $! > "$LAB/$name.pid"
}

ask() { curl -s -m 2 --cacert "$LAB/pki/ca.crt" -H 'Authorization: Bearer admin-token' "https://127.0.0.1:$port$1"; }

# Waits up to a minute for a condition.
until_true() { # WHAT COMMAND...
  local what="$1"; shift
  for _ in $(seq 600); do
    if "$@" > /dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  tail -n 3 "$LAB"/*.log >&2 || true
  die "$what; see the logs in $LAB"
}
is_ready() { [ "$(ask /readyz)" = ok ]; }
has_accounts() { ask /api/v1/namespaces/default/serviceaccounts/default | grep -q '"uid"'; }
scheduler_is_well() { [ "$(curl -s -k -m 2 "https://127.0.0.1:$((port + 2))/healthz")" = ok ]; }

start() {
  [ -n "$bin" ] || die "KUBEBUILDER_ASSETS is not set"
  for program in etcd kube-apiserver kube-controller-manager kube-scheduler; do
    [ -x "$bin/$program" ] || die "not there: $bin/$program"
  done
  command -v openssl > /dev/null || die "not installed: openssl"
  command -v curl > /dev/null || die "not installed: curl"
  mkdir -p "$LAB"
  certificates 2> /dev/null
  cat > "$LAB/tokens.csv" << T
admin-token,admin,u-admin,system:masters
kcm-token,system:kube-controller-manager,u-kcm
scheduler-token,system:kube-scheduler,u-scheduler
agent-token,agent,u-agent
plain-token,plain,u-plain
T
  for user in admin kcm scheduler agent plain; do config "$user" "$user-token"; done
  launch etcd
  launch apiserver
  until_true "the API server does not get ready" is_ready
  launch kcm
  launch scheduler
  until_true "the controllers do not start" has_accounts
  until_true "the scheduler does not start" scheduler_is_well
}

# Ends a program of this lab by its pid, if it is one.
end() { # NAME SIGNAL
  local pid
  pid="$(cat "$LAB/$1.pid" 2> /dev/null)" || return 0
  [ -r "/proc/$pid/cmdline" ] && tr '\0' ' ' < "/proc/$pid/cmdline" | grep -qF "$LAB" || return 0
  kill "-$2" "$pid" 2> /dev/null || return 0
  for _ in $(seq 100); do kill -0 "$pid" 2> /dev/null || return 0; sleep 0.1; done
  kill -9 "$pid" 2> /dev/null || true
}

case "${1:-}" in
  start) start ;;
  stop) for name in scheduler kcm apiserver etcd; do end "$name" TERM; done ;;
  kill) end "${2:?which}" KILL ;;
  revive)
    launch "${2:?which}"
    if [ "$2" = apiserver ] || [ "$2" = etcd ]; then until_true "the API server does not come back" is_ready; fi ;;
  *) die "start, stop, kill NAME or revive NAME" ;;
esac
