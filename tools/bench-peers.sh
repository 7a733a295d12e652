#!/usr/bin/env bash
# The same work by others' programs and by ours, in turns, in one run, and the ratios. The others
# come from their package registries into a folder of their own under target/.
set -euo pipefail
cd "$(dirname "$0")/.."
status=0
echo "== matrix multiplication beside NumPy's OpenBLAS"
sh tools/compare_dgemm.sh || status=$?
if [ -f benches/peers.sh ]; then
  bash benches/peers.sh "$@" || status=$?
fi
exit "$status"
