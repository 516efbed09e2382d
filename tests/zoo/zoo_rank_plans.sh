#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What the compiler makes of each model of the zoo at its true size for machines of eight and sixteen
# devices, against models/plans/*.ranks.csv: the kernels of a rank, its memory, operations and bytes
# moved, and of exchanges the bytes that all ranks receive, by kind. No weight is written or read. The
# sixteen are compared where SINTER_ALL=1. The llama's prompt is left out: its search takes minutes.
#
#   zoo_rank_plans.sh SINTER ZOO TREE            compares
#   zoo_rank_plans.sh SINTER ZOO TREE --update   writes the files anew and shows what has changed
set -u
sinter=$1 zoo=$2 root=$3 update=${4:-}
bad=0 machines=h100x8
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
[ "$update" != --update ] && [ -z "${SINTER_ALL:-}" ] || machines="h100x8 2xh100x8"

costs() { # MODEL: a table of every machine and case
  for machine in $machines; do
    "$zoo" "$1" --size full --cases | while read -r name arguments; do
      [ "$1 $name" = "llama prompt" ] && continue
      # Kernels' numbers say nothing and move with every new kernel.
      # shellcheck disable=SC2046,SC2086 # options, one word each
      "$sinter" compile "$work/$1/model.onnx" --machine $machine --target x86-64-v3 --emit costs \
        $(echo "$arguments" | sed 's/--input [^ ]*//g') >"$work/case" 2>"$work/said" || return 1
      [ ! -s "$work/said" ] || { cat "$work/said" >&2 && return 1; }
      sed "1d; s/^kernel,k[0-9]*_/kernel,/; s/^/$machine,$name,/" "$work/case"
    done || return 1
  done
}

for model in $("$zoo" --list); do
  golden=$root/models/plans/$model.ranks.csv
  "$zoo" "$model" --size full --external weights.bin --sparse -o "$work/$model" || exit 1
  { echo "machine,case,kind,name,launches,tiles,flops,bytes,node" && costs "$model"; } >"$work/now" ||
    { echo "FAILED: $model does not compile" && bad=1 && continue; }
  cp "$golden" "$work/was" 2>"$work/said" || : >"$work/was"
  [ "$machines" != h100x8 ] || sed -i '/^2x/d' "$work/was"
  cmp -s "$work/now" "$work/was" && continue
  diff -u "$work/was" "$work/now" | sed "1,2d; s/^@@.*/$model:/"
  if [ "$update" = --update ]; then cp "$work/now" "$golden"; else bad=1; fi
done
[ $bad = 0 ] || echo "if that is what was meant: tests/zoo/zoo_rank_plans.sh build/release/sinter build/release/zoo . --update"
exit $bad
