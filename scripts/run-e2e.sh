#!/usr/bin/env bash
# Runs the end-to-end suites and ends with what failed and a line that says how many tests passed. A skipped test is printed with its reason.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
echo "shim under the daemon: ${REF_SHIM:-containerd-shim-ref-v2 beside the daemon}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
bats --tap "$root"/Tests/e2e/*.bats 2>&1 | tee "$log"
status=${PIPESTATUS[0]}
skipped=$(grep -c '^ok .*# skip' "$log")
passed=$(($(grep -c '^ok ' "$log") - skipped))
failed=$(grep -c '^not ok ' "$log")
if [ "$failed" -gt 0 ]; then
  echo "What failed, once more:"
  awk '/^not ok /{show=1} /^ok /{show=0} show' "$log"
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$passed" -gt 0 ] || exit 1
exit "$status"
