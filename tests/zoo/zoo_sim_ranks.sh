#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Models of the zoo at their tiny size, split over simulated GPUs that exchange elements by NCCL's calls, compute what
# the interpreter computes; each exchange receives the bytes that the plan says; a run that is repeated is recorded
# once. SINTER_SIM_RANKS=all: more meshes, up to 8 ranks.
set -u
sinter=$1 zoo=$2
bad=0
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT

fail() { echo "FAILED: $*" && cat "$work/out" && bad=1; }

over() { # MODEL MESH RANKS [OPTIONS]
  model=$1 mesh=$2 ranks=$3
  shift 3
  "$sinter" verify "$work/$model/model.onnx" --random-inputs --target sm_80 --parallel "$mesh" \
    --devices "sim:$ranks" "$@" >"$work/out" 2>&1 || fail "$model over $mesh $*"
}

for model in $("$zoo" --list); do
  "$zoo" "$model" -o "$work/$model" || exit 1
  over "$model" tp=2 2
  [ "${SINTER_SIM_RANKS:-}" = all ] || continue
  over "$model" dp=2,tp=2 4
  over "$model" tp=4 4 --check-collectives
  over "$model" tp=8 8
done
over llama tp=4 4
over bert_base ring=2 2
over bert_base dp=2,tp=2 4 --check-collectives
over vit_b16 dp=2 2 --no-graphs
SINTER_COMM=host over gpt2 tp=2 2

# The way to real GPUs, by the names that NVIDIA's libraries have.
sim=$(dirname "$sinter")/sim
LD_LIBRARY_PATH=$sim SINTER_SIM_DEVICES=3 "$sinter" verify "$work/llama/model.onnx" --random-inputs --target sm_80 \
  --parallel tp=2 --devices cuda:2,0 >"$work/out" 2>&1 || fail "cuda:2,0"
LD_LIBRARY_PATH=$sim SINTER_SIM_DEVICES=3 "$sinter" doctor >"$work/out" 2>&1 || fail "doctor"
grep -q 'up to 3 GPUs, one per rank, which exchange elements by NCCL' "$work/out" || fail "doctor of three GPUs"
LD_LIBRARY_PATH=$sim SINTER_SIM_DEVICES=3 SINTER_NCCL_LIBRARY=/nothing "$sinter" doctor >"$work/out" 2>&1 || fail "doctor"
grep -q 'by way of the host' "$work/out" || fail "doctor without NCCL"
LD_LIBRARY_PATH=$sim SINTER_SIM_DEVICES=3 SINTER_NCCL_LIBRARY=/nothing "$sinter" verify "$work/llama/model.onnx" \
  --random-inputs --target sm_80 --parallel tp=2 --devices cuda:0-1 >"$work/out" 2>&1 || fail "cuda:0-1 without NCCL"
LD_LIBRARY_PATH=$sim SINTER_SIM_DEVICES=3 SINTER_NCCL_LIBRARY=/nothing SINTER_COMM=nccl "$sinter" verify \
  "$work/llama/model.onnx" --random-inputs --target sm_80 --parallel tp=2 --devices cuda:0-1 >"$work/out" 2>&1 &&
  fail "ran without the NCCL that was asked for"
grep -q E0730 "$work/out" || fail "a missing NCCL is not named"

"$sinter" bench "$work/bert_base/model.onnx" --random-inputs --target sm_80 --parallel tp=2 --devices sim:0,1 \
  --iterations 6 --warmup 0s >"$work/out" 2>&1 || fail "bench"
grep -q '^graphs  *1 recorded, 6 runs by them' "$work/out" || fail "runs are not recorded once"
sed -n 's/^exchanges .* \([0-9]*\) B received by all ranks, \([0-9]*\) B by the plan/\1 \2/p' "$work/out" >"$work/bytes"
read -r counted planned <"$work/bytes" && [ "$counted" = "$planned" ] || fail "bytes differ from the plan's"
exit $bad
