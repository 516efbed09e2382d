#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# `sinter test` on values that are no plain tensors: a sequence of strings that a run decides, and a
# sequence of maps; and on tokens of strings, with marks. What differs is told, and what is no such
# value.
set -u
sinter=$1 root=$2
bad=0
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT

shows() { # PATTERN: what the last run printed
  grep -q -- "$1" "$work/out" || { echo "FAILED: no '$1' in:" && cat "$work/out" && bad=1; }
}

cp -r "$root/tests/cli/values" "$work/values"
"$sinter" test "$work/values" >"$work/out" 2>&1
shows '3 passed, 0 failed, 0 unsupported'

cd "$work/values" || exit 1
sed -i 's/last/lost/' string_sequence/test_data_set_0/output_0.pb
sed -i 's/cat/cow/' maps/test_data_set_0/output_0.pb
"$sinter" test "$work/values" >"$work/out" 2>&1
shows 'maps:.*not a map of numbers from the engine.s keys'
shows "failed string_sequence: output 't'"
shows '1 passed, 2 failed'
exit $bad
