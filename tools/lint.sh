#!/usr/bin/env bash
# Formatting, clippy, the dependency policy, shell scripts, links between the documents. Goes on
# after a finding so that one run shows all of them.
set -uo pipefail
cd "$(dirname "$0")/.."
found=0
step() { # NAME COMMAND…
  local name="$1"
  shift
  if "$@"; then echo "ok: $name"; else echo "FAILED: $name"; found=1; fi
}

step formatting cargo fmt --all --check
step clippy cargo clippy --workspace --all-targets --features dayan-cli/kubernetes --quiet -- -D warnings

if cargo deny --version > /dev/null 2>&1; then
  step dependencies cargo deny --all-features check
else
  echo "skipped: licences and advisories (cargo install cargo-deny --locked)"
  # What would break at the first handshake is held without it.
  one_provider() { ! cargo tree --workspace --edges normal,build --invert ring 2> /dev/null | grep -q .; }
  step "one provider of cryptography" one_provider
fi

if command -v shellcheck > /dev/null; then
  mapfile -t scripts < <(git ls-files '*.sh' .ci/run)
  step "shell scripts" shellcheck "${scripts[@]}"
else
  echo "skipped: shell scripts (no shellcheck here)"
fi

step "links in documents" python3 tools/check_links.py
exit "$found"
