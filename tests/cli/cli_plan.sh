#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# sinter plan: reports as text and JSON, and every mistake an error with a code.
set -u
sinter=$1
bad=0
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT

fail() { echo "FAILED: $*" && bad=1; }

# expect CODE PATTERN options...: the exit code, and what stderr must show
expect() {
  code=$1 pattern=$2
  shift 2
  "$sinter" plan "$work/mlp.sir" "$@" >"$work/out" 2>"$work/err"
  got=$?
  [ $got = "$code" ] || fail "'$*' exits with $got, not $code"
  [ -z "$pattern" ] || grep -q -- "$pattern" "$work/err" || { fail "'$*' does not say: $pattern" && cat "$work/err"; }
}
shows() { grep -q -- "$1" "$work/out" || { fail "no '$1' in the report" && cat "$work/out"; }; }

cat >"$work/mlp.sir" <<'SIR'
func @main(%x: bf16[batch, 4096], %w1: bf16[4096, 16384], %w2: bf16[16384, 4096]) -> (bf16[batch, 4096]) where batch in 1..65536 {
  %1 = contract %x, %w1 { lhs_k = [1], rhs_k = [0], dtype = bf16 } : bf16[batch, 16384]
  %2 = map %1 { max($0, 0.0) } : bf16[batch, 16384]
  %3 = contract %2, %w2 { lhs_k = [1], rhs_k = [0], dtype = bf16 } : bf16[batch, 4096]
  return %3
}
entry @main("x", "w1", "w2") -> ("y") { @main; }
SIR

# Few rows: the weights are what is read, so they are split, columns first and rows then, with one all_reduce.
expect 0 '' --machine h100x4 --workload main:batch=1 --explain
shows 'mesh *\[tp=4\]'
shows 'contract *n over tp=4'
shows 'contract *k over tp=4'
shows 'partial(sum, tp=4)'
shows 'gap 0 %'
shows 'memory bandwidth *x 1.3'
# Many rows: each device takes its own, and nothing is exchanged but the result.
expect 0 '' --machine h100x4 --workload main:batch=65536
shows 'mesh *\[dp=4\]'
# One device has nothing to split.
expect 0 '' --machine h100x1
shows 'limited by'
# What is asked for is done.
expect 0 '' --machine h100x4 --workload main:batch=65536 --parallel tp=2,dp=2 --explain
shows 'mesh *\[tp=2, dp=2\]'
"$sinter" plan "$work/mlp.sir" --machine 2xh100x2 --json >"$work/json" || fail "--json"
! command -v python3 >/dev/null || python3 -m json.tool "$work/json" >/dev/null || fail "no JSON"
grep -q '"candidates"' "$work/json" || fail "no candidates in JSON"

# Throughput is time per batch row: with one phase the same plan, at an eighth of the time for eight rows. With two, the one of
# many rows counts for less, and the other decides the mesh.
seconds() { # WORKLOAD OBJECTIVE MODEL
  "$sinter" plan "$3" --machine h100x4 --workload "$1" --objective "$2" --json >"$work/$2.json" || fail "--objective $2"
  sed -n 's/^  "seconds": \(.*\),/\1/p' "$work/$2.json"
}
one=$(seconds main:batch=8 latency "$work/mlp.sir") rows=$(seconds main:batch=8 throughput "$work/mlp.sir")
awk "BEGIN { exit !($one > 0 && $one / $rows > 7.999999 && $one / $rows < 8.000001) }" || fail "throughput: $one and $rows"
sed '/^entry/d; s/@main/@many/; s/batch/rows/g' "$work/mlp.sir" >"$work/both.sir"
cat "$work/mlp.sir" >>"$work/both.sir"
echo 'entry @many("x", "w1", "w2") -> ("y") { @many; }' >>"$work/both.sir"
both='main:batch=1;many:rows=65536'
seconds "$both" latency "$work/both.sir" >/dev/null
seconds "$both" throughput "$work/both.sir" >/dev/null
grep -q '"name": "dp"' "$work/latency.json" || fail "most time goes to many rows, whose batch is not split"
grep -q '"name": "tp"' "$work/throughput.json" || fail "a row alone counts for most, and weights are not split"

expect 2 E0341 --machine h200x4
expect 2 E0341 --machine h100x9
expect 2 E0340 --workload main:rows=4
expect 2 E0340 --workload main:batch=0
expect 2 E0340 --workload main:batch
expect 2 E0340 --workload ';'
expect 2 E0343 --parallel tp
expect 2 E0343 --machine h100x2 --parallel tp=4
expect 2 'E0344.*axis .cache.' --parallel cache=4
expect 2 'E0344.*axis .dp.*are 2, fewer than 4' --workload main:batch=2 --parallel dp=4
echo 'machine broken device { memory 1us from "x" }' >"$work/broken.machine"
expect 3 E0342 --machine "$work/broken.machine"
[ "$(grep -c E0342 "$work/err")" -gt 3 ] || fail "not all problems of a machine file at once"

exit $bad
