#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Text by the program: the six prompts of chars_llama continue as torch continued them, with caches and
# without, in pieces and in a batch; sampling is a function of the seed; what is no decoder is refused.
set -u
sinter=$1 root=$2
bad=0
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
TMPDIR=$work && export TMPDIR

fail() { echo "FAILED: $*"; bad=1; }

# Prompts and continuations, a line each, as ids: "72,101 33,34".
awk '/"prompt_ids"|"continuation_ids"/ { which = /prompt/; ids = ""; inside = 1; next }
     inside && /\]/ { inside = 0; if (which) prompt = ids; else print prompt, ids; next }
     inside { gsub(/[ ,]/, ""); ids = ids (ids == "" ? "" : ",") $0 }' \
  "$root/models/chars_llama/greedy.json" >"$work/rows"
[ "$(wc -l <"$work/rows")" = 6 ] || fail "greedy.json has no six rows"

greedy() { # ENGINE OPTIONS...: each prompt by itself
  while read -r prompt wanted; do
    got=$("$sinter" generate "$@" --tokens "$prompt" --max-new-tokens 64 2>"$work/err") ||
      { fail "generate $*" && cat "$work/err"; }
    [ "$got" = "$wanted" ] || fail "$*: '$prompt' goes on with '$got', not '$wanted'"
  done <"$work/rows"
}

for model in chars_llama chars_llama_plain; do
  "$sinter" compile "$root/models/$model/model.onnx" -o "$work/$model.sinter" --quiet ||
    { fail "compile $model" && exit 1; }
done
with=$work/chars_llama.sinter
greedy "$with"
greedy "$with" --prefill-chunk 7 --threads 1
greedy "$work/chars_llama_plain.sinter"

set --
while read -r prompt wanted; do set -- "$@" --tokens "$prompt"; done <"$work/rows"
"$sinter" generate "$with" "$@" >"$work/batch" 2>"$work/err" || fail "a batch: $(cat "$work/err")"
cut -d' ' -f2 "$work/rows" | cmp -s - "$work/batch" || fail "a batch goes on in another way"
"$sinter" generate "$with" "$@" --prefill-chunk 20 2>/dev/null | cmp -s "$work/batch" - || fail "a batch in pieces"
grep -q '^prefill: [0-9]* tokens in [0-9.]* ms' "$work/err" || fail "no time of prefill"
grep -q '^decode: 63 steps in [0-9.]* ms, [0-9.]* ms each' "$work/err" || fail "no time of decode"

# The same on four devices: heads and cached keys split; the plan that is found for them.
for split in "--parallel tp=2,cache=2" "--machine cpux4"; do
  # shellcheck disable=SC2086
  "$sinter" compile "$root/models/chars_llama/model.onnx" $split -o "$work/four.sinter" --quiet &&
    "$sinter" generate "$work/four.sinter" "$@" --devices cpu:4 2>/dev/null | cmp -s "$work/batch" - ||
    fail "a batch goes on in another way with $split"
done

prompt=35,32,67,111,110,118,10
[ "$("$sinter" generate "$with" --tokens $prompt --bytes --max-new-tokens 14 2>/dev/null)" = 'Default tensor' ] ||
  fail "--bytes"
[ "$("$sinter" generate "$with" --tokens $prompt --eos 108 2>/dev/null)" = 68,101,102,97,117,108 ] || fail "--eos"
[ -z "$("$sinter" generate "$with" --tokens $prompt --max-new-tokens 0 2>/dev/null)" ] || fail "no tokens at all"

sampled() { "$sinter" generate "$with" --tokens $prompt --temperature 1 "$@" 2>/dev/null; }
[ "$(sampled --seed 3)" = "$(sampled --seed 3 --threads 1)" ] || fail "the same seed gives another text"
[ "$(sampled --seed 3)" != "$(sampled --seed 4)" ] || fail "another seed gives the same text"
[ "$(sampled --seed 3 --top-k 1)" = "$(sed -n 1p "$work/batch")" ] || fail "--top-k 1 is greedy"
[ "$(sampled --seed 3 --top-p 0)" = "$(sed -n 1p "$work/batch")" ] || fail "--top-p 0 is greedy"

refuses() { # CODE PATTERN ARGUMENTS...
  code=$1 pattern=$2
  shift 2
  "$sinter" "$@" >/dev/null 2>"$work/err"
  got=$?
  [ $got = "$code" ] && grep -q "$pattern" "$work/err" || { fail "'$*' exits with $got" && cat "$work/err"; }
}
refuses 2 E0803 generate "$with"
refuses 2 E0802 generate "$with" --tokens 1,,2
refuses 2 E0802 generate "$with" --tokens 1,x
refuses 3 'E0610.*out of range' generate "$with" --tokens 500
"$sinter" compile "$root/models/digits_cnn/model.onnx" -o "$work/digits.sinter" --quiet
refuses 3 E0323 generate "$work/digits.sinter" --tokens 1
refuses 2 'E0324.*nothing' compile "$root/models/chars_llama/model.onnx" --roles tokens=nothing -o "$work/x"
refuses 2 E0324 compile "$root/models/chars_llama/model.onnx" --roles tokens=attention_mask -o "$work/x"
exit $bad
