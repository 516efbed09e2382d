#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every model of the zoo at its tiny size computes what the interpreter computes, in every run that
# the zoo lists for it, with dims open and with dims fixed. Decoders get their phases.
set -u
sinter=$1 zoo=$2
bad=0
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT

for model in $("$zoo" --list); do
  "$zoo" "$model" -o "$work/$model" || exit 1
  "$zoo" "$model" -o "$work/again" --external weights.bin || exit 1
  "$sinter" compile "$work/$model/model.onnx" -o "$work/open.sinter" --quiet || bad=1
  "$zoo" "$model" --cases >"$work/cases"
  while read -r name arguments; do
    # shellcheck disable=SC2086 # options, one word each
    "$sinter" verify "$work/$model/model.onnx" --random-inputs $arguments >"$work/out" 2>&1 &&
      "$sinter" verify "$work/$model/model.onnx" "$work/open.sinter" --random-inputs $arguments >"$work/out" 2>&1 &&
      "$sinter" verify "$work/again/model.onnx" "$work/open.sinter" --random-inputs $arguments >"$work/out" 2>&1 ||
      { echo "FAILED: $model $name" && cat "$work/out" && bad=1; }
  done <"$work/cases"
  grep -q '^decode' "$work/cases" || continue
  for entry in prefill decode; do
    "$sinter" inspect "$work/open.sinter" | grep -qx "entry $entry" || { echo "FAILED: $model has no $entry" && bad=1; }
  done
done
exit $bad
