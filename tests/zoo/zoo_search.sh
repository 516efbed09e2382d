#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every model of the zoo at its tiny size, split as the search finds for machines of two and four devices,
# computes on as many ranks what the interpreter computes.
set -u
sinter=$1 zoo=$2
bad=0
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT

for model in $("$zoo" --list); do
  "$zoo" "$model" -o "$work/$model" || exit 1
  for machine in cpux2 h100x4; do
    "$sinter" verify "$work/$model/model.onnx" --random-inputs --machine $machine >"$work/out" 2>&1 ||
      { echo "FAILED: $model for $machine" && cat "$work/out" && bad=1; }
  done
done
# A constraint that holds: the mesh is the one asked for, and something crosses it.
"$sinter" compile "$work/llama/model.onnx" --machine cpux4 --parallel tp=4 --emit plan -o "$work/plan" &&
  grep -q 'tp=4' "$work/plan" && grep -q 'exchange' "$work/plan" || { echo "FAILED: tp=4 of llama" && bad=1; }
exit $bad
