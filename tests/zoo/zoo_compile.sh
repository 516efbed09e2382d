#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# How large models compile: weights by reference, none of them read; the same bytes from every folder;
# within the time that is promised (ResNet-50 in 5 s, 8 billion parameters by reference in 10 s).
set -u
sinter=$1 zoo=$2
bad=0
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT

fail() { echo "FAILED: $*" && bad=1; }

within() { # SECONDS command...: the best of three, since the machine may have other work
  limit=$1 && shift
  for _ in 1 2 3; do
    begin=$(date +%s%N)
    "$@" >"$work/out" 2>&1 || { cat "$work/out" && fail "$*" && return; }
    took=$((($(date +%s%N) - begin) / 1000000))
    [ $took -le $((limit * 1000)) ] && echo "$took ms: $*" && return
  done
  fail "$took ms: $*"
}

# Two folders, two compiles.
for folder in one another/folder; do
  mkdir -p "$work/$folder"
  "$zoo" llama --external weights.bin -o "$work/$folder" || exit 1
  (cd "$work/$folder" && "$sinter" compile model.onnx -o inside.sinter --quiet) || fail "compile in $folder"
  "$sinter" compile "$work/$folder/model.onnx" -o "$work/$folder/refer.sinter" --weights by-reference --quiet ||
    fail "compile by reference in $folder"
done
cmp "$work/one/inside.sinter" "$work/another/folder/inside.sinter" || fail "engines differ"
cmp "$work/one/refer.sinter" "$work/another/folder/refer.sinter" || fail "engines by reference differ"
[ "$(wc -c <"$work/one/refer.sinter")" -lt "$(wc -c <"$work/one/inside.sinter")" ] || fail "weights were copied"

# What by-reference engines compute, and where they look.
arguments=$("$zoo" llama --cases | sed -n 's/^decode //p')
for model in $("$zoo" --list); do
  "$zoo" "$model" --external weights.bin -o "$work/tiny" || exit 1
  "$sinter" compile "$work/tiny/model.onnx" -o "$work/tiny/refer.sinter" --weights by-reference --quiet || bad=1
  # shellcheck disable=SC2046 # options, one word each
  "$sinter" verify "$work/tiny/model.onnx" "$work/tiny/refer.sinter" --random-inputs \
    $("$zoo" "$model" --cases | sed -n '1s/^[a-z]* //p') >"$work/out" 2>&1 || { cat "$work/out" && fail "$model"; }
done
mkdir "$work/elsewhere"
cp "$work/one/refer.sinter" "$work/elsewhere/"
# shellcheck disable=SC2086 # options, one word each
{
  "$sinter" run "$work/elsewhere/refer.sinter" --random-inputs $arguments >"$work/out" 2>&1 && fail "ran without its weights"
  grep -q E0513 "$work/out" || fail "a missing weight file is not named"
  "$sinter" run "$work/elsewhere/refer.sinter" --random-inputs $arguments --weights-root "$work/one" >"$work/out" 2>&1 ||
    fail "--weights-root"
  ln -s "$work/one/weights.bin" "$work/elsewhere/weights.bin"
  "$sinter" run "$work/elsewhere/refer.sinter" --random-inputs $arguments >"$work/out" 2>&1 && fail "a link led out of the folder"
  rm "$work/elsewhere/weights.bin"
  head -c 1000 "$work/one/weights.bin" >"$work/elsewhere/weights.bin"
  "$sinter" run "$work/elsewhere/refer.sinter" --random-inputs $arguments >"$work/out" 2>&1 && fail "ran with half its weights"
  grep -q "1000 B" "$work/out" || fail "a weight file of another size is not named"
}

# Time, and what is read.
"$zoo" resnet50 --size full -o "$work/resnet50" || exit 1
within 5 "$sinter" compile "$work/resnet50/model.onnx" --threads 2 --quiet -o "$work/resnet50/model.sinter"
"$zoo" llama --size large --sparse -o "$work/large" || exit 1
within 10 "$sinter" compile "$work/large/model.onnx" --weights by-reference --threads 2 --quiet -o "$work/large/model.sinter"
if command -v fincore >/dev/null; then
  read_bytes=$(fincore --bytes --noheadings --output RES "$work/large/model.onnx.data" | tr -d ' ')
  [ "$read_bytes" = 0 ] || fail "$read_bytes B of weights were read"
fi
exit $bad
