#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Models split over ranks give, in the exact domain, what they give alone: the zoo at its tiny size
# under the layouts of well-known roles and under random assignments, rows and positions that divide by
# nothing, more ranks than kv heads.
#
# And prefill and decode of a trained decoder, whose states are split, under both.
#
# SINTER_SHARDINGS=all: more meshes of up to 8 ranks and more random assignments; and where
# SINTER_SHARED names a folder, every model of its data/, with its own inputs.
set -u
sinter=$1 zoo=$2
check=$(dirname "$sinter")/shard_models
bad=0
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
[ -x "$check" ] || exit 77

meshes="tp=2 tp=3 cp=3 ring=3 dp=2,tp=2 cp=2,cache=2,tp=2"
random=1
if [ "${SINTER_SHARDINGS:-}" = all ]; then
  meshes="$meshes dp=2 dp=3 cp=2 cache=2 cache=3 tp=4 tp=8 cp=4 ring=2 tp=2,ring=4 cache=8 dp=2,cp=2 dp=2,tp=4 cp=2,tp=4 tp=2,cache=4 ep=2 ep=3 ep=4 ep=2,tp=2"
  random=4
fi
options="--quiet --random $random"
for mesh in $meshes; do options="$options --mesh $mesh"; done

run() { # arguments, the folder last
  # shellcheck disable=SC2086 # options, one word each
  "$check" $options "$@" >"$work/out" 2>&1 || { cat "$work/out" && bad=1; }
}

for model in $("$zoo" --list); do
  "$zoo" "$model" -o "$work/$model" || exit 1
  case $model in
  bert_base) run --shape input_ids:2x7 --input input_ids=0..63 --input attention_mask=1..1 \
    --input token_type_ids=0..1 "$work/$model" ;;
  gpt2) run --shape input_ids:3x5 --input input_ids=0..63 --input position_ids=0..5 \
    --shape past_key_values.0.key:3x4x2x8 "$work/$model" ;;
  llama)
    run --shape input_ids:3x5 --input input_ids=0..63 --input position_ids=0..7 \
      --shape past_key_values.0.key:3x2x2x8 --shape attention_mask:3x7 \
      --input attention_mask=1..1 "$work/$model"
    run --shape input_ids:2x1 --input input_ids=0..63 --input position_ids=5..5 \
      --shape past_key_values.0.key:2x2x5x8 --shape attention_mask:2x6 \
      --input attention_mask=0..1 "$work/$model"
    ;;
  vit_b16) run --shape pixel_values:3x3x16x16 "$work/$model" ;;
  unet_block) run --shape sample:2x16x8x8 --shape time_embedding:2x32 "$work/$model" ;;
  *) run --shape pixel_values:2x3x32x32 "$work/$model" ;;
  esac
done

# Rows of different lengths in states of blocks that come out uneven; more ranks than batch rows.
phases="--quiet --input input_ids=0..63"
root=$(dirname "$0")/../..
check_phases() { # options, the folder last
  # shellcheck disable=SC2086
  "$check" $phases "$@" >"$work/out" 2>&1 || { cat "$work/out" && bad=1; }
}
check_phases --phases 2x3x37 --random 1 --mesh cp=2,cache=2,tp=2 --mesh dp=3 "$root/models/chars_llama"
if [ "${SINTER_SHARDINGS:-}" = all ]; then
  for mesh in tp=2 tp=3 tp=8 cp=2 cache=2 cache=3 dp=2 dp=3,cache=2 cp=4 tp=2,cache=4; do
    for model in "$root/models/chars_llama" "$root/models/chars_llama_genai_int4"; do
      check_phases --phases 3x5x37 --random 2 --mesh $mesh "$model"
    done
  done
fi

if [ "${SINTER_SHARDINGS:-}" = all ] && [ -n "${SINTER_SHARED:-}" ]; then
  for folder in "$SINTER_SHARED"/data/*/; do
    [ ! -e "$folder/model.onnx" ] || run "${folder%/}"
  done
fi
exit $bad
