#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The way of a model through the program: compile, inspect, run, test; what goes wrong on it; what is
# left behind.
set -u
sinter=$1 root=$2
model=$root/models/digits_cnn
bad=0
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
TMPDIR=$work/tmp && export TMPDIR && mkdir "$TMPDIR"

fail() { echo "FAILED: $*" && bad=1; }

expect() { # CODE PATTERN command...: the exit code, and what stderr must show
  code=$1 pattern=$2
  shift 2
  "$@" >"$work/out" 2>"$work/err"
  got=$?
  [ $got = "$code" ] || fail "'$*' exits with $got, not $code"
  [ -z "$pattern" ] || grep -q -- "$pattern" "$work/err" ||
    { fail "'$*' does not say: $pattern" && cat "$work/err"; }
}

shows() { grep -q -- "$1" "$work/out" || { fail "the report does not show: $1" && cat "$work/out"; }; }

is_json() {
  if command -v python3 >/dev/null; then python3 -m json.tool "$1" >/dev/null
  elif command -v jq >/dev/null; then jq . "$1" >/dev/null
  else [ "$(head -c 1 "$1")" = "{" ]
  fi || fail "this is not JSON: $(head -n 5 "$1")"
}

engine=$work/digits.sinter
expect 0 '' "$sinter" compile "$model/model.onnx" -o "$engine"
expect 0 '' "$sinter" compile "$model/model.onnx" -o "$work/again.sinter" --quiet
cmp -s "$engine" "$work/again.sinter" || fail "two compiles differ"
cp "$model/model.onnx" "$work/model.onnx"
expect 0 '' "$sinter" compile "$work/model.onnx" --json
is_json "$work/out"
[ -f "$work/model.sinter" ] || fail "the usual name of an engine was not used"

# compile: mistakes
expect 2 E0903 "$sinter" compile "$work/missing.onnx"
expect 3 E0102 "$sinter" compile "$model/case.json"
expect 2 E0403 "$sinter" compile "$work/model.onnx" --target pdp11
expect 2 "was 'image' meant\|no such input" "$sinter" compile "$work/model.onnx" --shape picture:1x1x8x8
expect 2 E0803 "$sinter" compile "$work/model.onnx" --stop-after fuse
expect 4 E0905 "$sinter" compile "$work/model.onnx" -o "$work/no/such/folder/x.sinter"

# code for several processors in one engine, the best of which runs
both=$work/both.sinter
if grep -qw avx2 /proc/cpuinfo; then
  expect 0 '' "$sinter" compile "$model/model.onnx" --target x86-64-v3,x86-64-v2 -o "$both" --specialize batch=1
  for level in x86-64-v2 x86-64-v3; do
    expect 0 '' env SINTER_CPU_TARGET=$level "$sinter" run "$both" --random-inputs --output probability=@"$work/$level.npy"
    expect 0 '' env SINTER_CPU_TARGET=$level "$sinter" verify "$model/model.onnx" "$both" --random-inputs
  done
  expect 0 '' "$sinter" run "$both" --random-inputs --output probability=@"$work/best.npy"
  cmp -s "$work/best.npy" "$work/x86-64-v3.npy" || fail "the better code does not run by itself"
  cmp -s "$work/best.npy" "$work/x86-64-v2.npy" && fail "both targets run the same code"
  expect 3 E0508 env SINTER_CPU_TARGET=x86-64-v9 "$sinter" run "$both" --random-inputs
fi
expect 2 'is there twice' "$sinter" compile "$work/model.onnx" --target x86-64-v3,x86-64-v3
expect 2 'is for processors or for GPUs' "$sinter" compile "$work/model.onnx" --target x86-64-v3,sm_90a
expect 2 E0322 "$sinter" compile "$work/model.onnx" --specialize depth=3

# inspect
expect 0 '' "$sinter" inspect "$engine" --kernels --weights
shows 'image: f32\[batch,1,8,8\]'
shows 'probability: f32\[batch,10\]'
expect 0 '' "$sinter" inspect "$engine" --plan
shows '^entry "main"'
shows '^    launch "k[0-9]*_'
shows 'output 0 "probability"'
sed -n '/^entry "main"/,$p' "$work/out" >"$work/plan"
expect 0 '' "$sinter" compile "$model/model.onnx" --emit plan
cmp -s "$work/out" "$work/plan" || fail "inspect and compile print different plans"
expect 2 "has no effect on JSON" "$sinter" inspect "$engine" --plan --json
expect 0 '' "$sinter" inspect "$engine" --json
is_json "$work/out"
expect 3 E0501 "$sinter" inspect "$model/model.onnx"
head -c 10000 "$engine" >"$work/cut.sinter"
expect 3 E0502 "$sinter" inspect "$work/cut.sinter"
expect 3 E0502 "$sinter" run "$work/cut.sinter" --random-inputs

# run: inputs as files of three kinds and random ones
expect 0 '' "$sinter" run "$engine" --input "image=@$model/digits_test_images.f32" \
  --output "probability=@$work/a.npy"
shows 'probability: f32\[360,10\]'
expect 0 '' "$sinter" run "$engine" --input "image=@$model/test_data_set_0/input_0.pb" \
  --output "probability=@$work/a.pb"
expect 0 '' "$sinter" run "$engine" --random-inputs --shape image:3x1x8x8 --seed 7 --output "probability=@$work/b.f32"
shows 'f32\[3,10\]'
expect 0 '' "$sinter" run "$engine" --input image=random --shape image:3x1x8x8 --seed 7 --threads 1 \
  --output "probability=@$work/c.f32"
cmp -s "$work/b.f32" "$work/c.f32" || fail "the same seed gives other outputs"
[ "$(wc -c <"$work/b.f32")" = 120 ] || fail "plain outputs have the wrong size"
expect 0 '' "$sinter" run "$model/model.onnx" --input image=zeros --json
is_json "$work/out"
shows '"probability"'
expect 2 "input 'image' is not given" "$sinter" run "$engine"
expect 2 "did you mean 'image'" "$sinter" run "$engine" --input imgae=zeros
expect 2 "did you mean 'probability'" "$sinter" run "$engine" --random-inputs --output "probabilty=@$work/x.npy"
expect 2 "is not understood" "$sinter" run "$engine" --input image
expect 2 "is given twice" "$sinter" run "$engine" --input image=zeros --input image=random
expect 2 "has no effect on a compiled engine" "$sinter" run "$engine" --random-inputs --target native
expect 2 E0601 "$sinter" run "$engine" --random-inputs --entry decode
expect 2 E0701 "$sinter" run "$engine" --random-inputs --devices toaster
expect 2 E0903 "$sinter" run "$engine" --input "image=@$work/missing.npy"
expect 2 E060 "$sinter" run "$engine" --input "image=@$model/test_data_set_0/output_0.pb"

# bench
expect 0 '' "$sinter" bench "$engine" --random-inputs --warmup 0s --iterations 5 --threads 1
shows '^5 runs in '
expect 0 '' "$sinter" bench "$engine" --random-inputs --warmup 0s --duration 50ms --profile --json
is_json "$work/out"
for key in latency_ms p50 p99 kernels roofline; do shows "\"$key\""; done
expect 2 "has no effect beside --iterations" "$sinter" bench "$engine" --random-inputs --iterations 5 --duration 1s
expect 2 "'--duration' takes a time with its unit" "$sinter" bench "$engine" --random-inputs --duration 5

# verify: against the interpreter; a limit that no rounding meets is a difference
expect 0 '' "$sinter" verify "$model/model.onnx" --random-inputs --shape image:2x1x8x8
shows '^ok   probability: error '
expect 0 '' "$sinter" verify "$model/model.onnx" "$engine" --random-inputs --json
is_json "$work/out"
expect 1 '' "$sinter" verify "$model/model.onnx" "$engine" --random-inputs --limit 0 --bisect
shows '^DIFF probability'
shows '^first divergence: node '
expect 2 "has no effect on a compiled engine" "$sinter" verify "$model/model.onnx" "$engine" --random-inputs --target native

# compile --emit
expect 0 '' "$sinter" compile "$model/model.onnx" --emit graph
shows '^entry @main("image") -> ("probability")'
expect 0 '' "$sinter" compile "$model/model.onnx" --emit llvm -o "$work/digits.ll" --quiet
grep -q '^define ' "$work/digits.ll" || fail "--emit llvm writes no LLVM IR"
expect 2 E0803 "$sinter" compile "$model/model.onnx" --emit asm --json
expect 2 "'--emit' takes graph|plan|costs|llvm|asm" "$sinter" compile "$model/model.onnx" --emit smoke
expect 2 E0320 "$sinter" compile "$model/model.onnx" --disable nonsense -o "$work/x.sinter"

# check
expect 0 '' "$sinter" check "$model/model.onnx"
shows 'Softmax'
expect 0 '' "$sinter" check "$model/model.onnx" --json
is_json "$work/out"

# test: outcomes, tolerances, lists
cases=$work/cases
mkdir -p "$cases/deep/right" "$cases/wrong" "$cases/empty"
for case in deep/right wrong; do cp -r "$model/model.onnx" "$model"/test_data_set_* "$cases/$case/"; done
cp "$model/test_data_set_2/output_0.pb" "$cases/wrong/test_data_set_0/output_0.pb"
expect 1 '' "$sinter" test "$cases"
shows "^failed wrong: output 'probability' is "
[ "$(tail -n 1 "$work/out")" = "1 passed, 1 failed, 0 unsupported" ] || fail "the last line of test is wrong"
expect 0 '' "$sinter" test "$cases/deep/right/" --jobs 1 --json
is_json "$work/out"
printf '# none may differ\nright 0\n' >"$work/tolerances"
expect 1 '' "$sinter" test "$cases/deep" --tolerances "$work/tolerances"
printf 'right\n' >"$work/tolerances"
expect 2 "$work/tolerances" "$sinter" test "$cases/deep" --tolerances "$work/tolerances"
expect 2 E0803 "$sinter" test "$cases/empty"
expect 2 E0903 "$sinter" test "$cases/missing"
expect 1 '' "$sinter" test "$cases" --timeout 1us
shows 'took more than'
expect 0 '' "$sinter" test "$cases/deep" --write-expect "$work/list"
[ "$(cat "$work/list")" = "right passed" ] || fail "the list of outcomes is wrong"
expect 0 '' "$sinter" test "$cases/deep" --expect "$work/list"
echo 'right unsupported' >"$work/list"
expect 1 E0804 "$sinter" test "$cases/deep" --expect "$work/list"
shows '^-right unsupported'
shows '^+right passed'

# Interrupted, it ends its children and takes its files away.
"$sinter" test "$root/models" "$root/models" "$root/models" "$root/models" >/dev/null 2>&1 &
running=$!
for _ in $(seq 100); do # until it has a folder to take away
  [ -n "$(ls "$TMPDIR")" ] && break
  sleep 0.1
done
kill -TERM $running 2>/dev/null
wait $running
got=$?
[ $got = 130 ] || [ $got = 0 ] || [ $got = 1 ] || fail "an interrupted test exits with $got"

expect 2 "'--jobs' takes 1 to" "$sinter" test "$cases" --jobs 0
expect 2 "does not fit input 'image'" "$sinter" run "$engine" --random-inputs --shape image:1x3x8x8

[ -z "$(ls "$TMPDIR")" ] || fail "left behind: $(ls "$TMPDIR")"
[ -z "$(ls "$work" | grep '\.tmp$')" ] || fail "left behind: $(ls "$work")"
exit $bad
