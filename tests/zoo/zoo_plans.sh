#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What the compiler makes of each model of the zoo at its true size, against models/plans/*.plan.csv:
# kernels, memory, operations, bytes moved. No weight is written or read.
#
#   zoo_plans.sh SINTER ZOO TREE            compares
#   zoo_plans.sh SINTER ZOO TREE --update   writes the files anew and shows what has changed
set -u
sinter=$1 zoo=$2 root=$3 update=${4:-}
bad=0
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT

costs() { # MODEL: a table of every case
  "$zoo" "$1" --size full --cases | while read -r name arguments; do
    # Kernels' numbers say nothing and move with every new kernel.
    # shellcheck disable=SC2046,SC2086 # options, one word each
    "$sinter" compile "$work/$1/model.onnx" --target x86-64-v3 --emit costs \
      $(echo "$arguments" | sed 's/--input [^ ]*//g') >"$work/case" || return 1
    sed "s/^kernel,k[0-9]*_/kernel,/; s/^/$name,/; 1s/^$name,/case,/" "$work/case"
  done
}

mkdir -p "$root/models/plans"
for model in $("$zoo" --list); do
  golden=$root/models/plans/$model.plan.csv
  "$zoo" "$model" --size full --external weights.bin --sparse -o "$work/$model" || exit 1
  costs "$model" >"$work/now" || { echo "FAILED: $model does not compile" && bad=1 && continue; }
  cmp -s "$work/now" "$golden" && continue
  [ -f "$golden" ] || : >"$work/empty"
  diff -u "$([ -f "$golden" ] && echo "$golden" || echo "$work/empty")" "$work/now" | sed "1,2d; s/^@@.*/$model:/"
  if [ "$update" = --update ]; then cp "$work/now" "$golden"; else bad=1; fi
done
[ $bad = 0 ] || echo "if that is what was meant: tests/zoo/zoo_plans.sh build/release/sinter build/release/zoo . --update"
exit $bad
