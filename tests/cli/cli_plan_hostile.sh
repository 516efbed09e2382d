#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# sinter plan given machine files, options and annotations that are wrong in every way: an error with a code, or a plan
# of finite times, and neither a crash nor more than ten seconds.
set -u
sinter=$1
tree=$2
bad=0
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

fail() { echo "FAILED: $*" && bad=1; }

# plans WHAT CODES options...: CODES is a list of exit codes; what fails says why with an error's code.
plans() {
  what=$(printf %.60s "$1") codes=$2
  shift 2
  case " $* " in *" --search-time "*) ;; *) set -- --search-time 1s "$@" ;; esac
  timeout 10 "$sinter" plan mlp.sir --json "$@" >out 2>err
  got=$?
  case " $codes " in *" $got "*) ;; *) fail "$what: exits with $got, not $codes" && head -c 500 err ;; esac
  if [ $got != 0 ]; then
    grep -q '^error\[E[0-9]*\]: ' err || fail "$what: no error with a code"
  elif grep -Eq '[^a-z](nan|inf)[^a-z]' out; then
    fail "$what: a time that is no number"
  fi
  [ "$(wc -c <err)" -lt 100000 ] || fail "$what: $(wc -c <err) bytes of messages"
}
says() { grep -q -- "$1" err || { fail "$what does not say: $1" && head -c 500 err; }; }

cat >mlp.sir <<'SIR'
func @main(%x: f32[batch, 8], %w1: f32[8, 512], %w2: f32[512, 8]) -> (f32[batch, 8]) where batch in 1..65536 {
  %1 = contract %x, %w1 { lhs_k = [1], rhs_k = [0], dtype = f32 } : f32[batch, 512]
  %2 = map %1 { max($0, 0.0) } : f32[batch, 512]
  %3 = contract %2, %w2 { lhs_k = [1], rhs_k = [0], dtype = f32 } : f32[batch, 8]
  return %3
}
entry @main("x", "w1", "w2") -> ("y") { @main; }
SIR

# ---- machine files ----

cat >good.machine <<'TXT'
machine toy  # a comment
device { memory 1GB from "a" launch 1us from "b" scalar 1T/s from "c"
  peak f32 2T/s from "d" peak bf16 4T/s from "e"
  bandwidth { 1MB 1GB/s, 100MB 3GB/s } from "f"
  efficiency 100 { 10 0.1, 1000 0.5 } from "g"
  efficiency 10000 { 10 0.3, 1000 0.7 } from "g" }
level link { devices 4 from "h" most 4 from "h" latency 1us from "i"
  bandwidth 1GB/s from "j" all_reduce 4 { 1KB 5us, 2KB 7us } from "k" }
level net { devices 2 from "h" most 8 from "h" latency 10us from "i"
  bandwidth 100MB/s from "j" }
TXT
plans "a good machine" 0 --machine good.machine

# machine WHAT CODES: of the text on standard input
machine() {
  cat >it.machine
  plans "machine file: $1" "$2" --machine it.machine
}
repeat() { awk -v n="$1" -v text="$2" 'BEGIN { for (i = 0; i < n; i++) printf "%s", text }'; }

size=$(wc -c <good.machine)
for n in 0 1 7 8 20 50 100 150 200 300 400 500 $((size - 20)) $((size - 3)); do
  head -c "$n" good.machine | machine "the first $n bytes" 3
  says E0342
done
head -c 20000 /dev/zero | machine "zeros" 3
awk 'BEGIN { for (i = 0; i < 20000; i++) printf "%c", 128 + i * 37 % 128 }' | machine "binary" 3
repeat 50000 '{' | machine "braces" 3
{ printf 'machine a '; repeat 20000 'device { bandwidth { '; } | machine "deep nesting" 3
{ cat good.machine; repeat 100 'level a { devices 2 from "x" latency 1us from "y" bandwidth 1GB/s from "z" } '; } |
  machine "a hundred levels" 3
repeat 100000 'memory ' | machine "one word, often" 3
{ printf 'machine '; repeat 300000 a; } | machine "a long name" 3
repeat 2000000 '#' | machine "a file of two megabytes" 3
mkdir folder.machine
plans "a folder" "2 3 4" --machine folder.machine
plans "no file" "2 3 4" --machine none.machine
ln -s /dev/zero zero.machine
plans "a file without an end" "2 3 4" --machine zero.machine

# One figure of the good file is another: "WHAT|FROM|TO|CODES|PATTERN"
while IFS='|' read -r from to codes pattern; do
  [ -n "$from" ] || continue
  awk -v from="$from" -v to="$to" '{ i = index($0, from)
    if (i && !done) { $0 = substr($0, 1, i - 1) to substr($0, i + length(from)); done = 1 } print }' good.machine >it.machine
  cmp -s good.machine it.machine && fail "no '$from' in the good file"
  plans "'$to' for '$from'" "$codes" --machine it.machine
  [ -z "$pattern" ] || says "$pattern"
done <<'TABLE'
memory 1GB|memory -1GB|3|E0342
memory 1GB|memory nan|3|E0342
memory 1GB|memory inf|3|E0342
memory 1GB|memory 0B|3|above 0
memory 1GB|memory 1e400GB|3|no number
memory 1GB|memory 99999999999999999999999999999999999999999999999999999999999999999999999999999999999GB|3|no number
memory 1GB|memory 1e15GB|3|at most
memory 1GB|memory 0x10GB|3|E0342
memory 1GB|memory 1B|0|
launch 1us|launch 1e-300s|3|at least 1e-18
launch 1us|launch 2s|3|at most 1
launch 1us|lunch 1us|3|no figure 'lunch'
scalar 1T/s|scalar 1e-310T/s|3|at least
peak f32 2T/s|peak f32 1e-300T/s|3|at least
peak f32 2T/s|peak f32 1e-15G/s|0|
peak f32|peak f31|3|no dtype
1MB 1GB/s|1MB 1e-290GB/s|3|at least
1MB 1GB/s|1e17MB 1GB/s|3|E0342
{ 1MB 1GB/s, 100MB 3GB/s }|{ }|3|E0342
{ 1MB 1GB/s|{ { 1MB 1GB/s|3|E0342
1000 0.5|1000 1.5|3|at most 1
efficiency 10000|efficiency 1e18|3|E0342
devices 4 |devices 0 |3|above 0
devices 4 |devices -4 |3|E0342
devices 4 |devices 0.5 |3|whole
devices 4 |devices 1e300 |3|at most
devices 4 from "h" most 4|devices 4096 from "h" most 4096|3|8192 devices together
latency 1us|latency 1e-300s|3|at least
latency 1us|latency 1s|0|
bandwidth 100MB/s|bandwidth 1e-280MB/s|3|at least
bandwidth 100MB/s|bandwidth 1e-24MB/s|3|at least
bandwidth 100MB/s|bandwidth 1e-20MB/s|0|
all_reduce 4|all_reduce 1e18|3|E0342
all_reduce 4|all_reduce 0|3|E0342
all_reduce 4|all_rejoice 4|3|no figure
"a"|"%s%n%s"|0|
machine toy|machine toy machine toy|3|already
from "a"|from "a" reserve 1GB from "b"|3|reserve
TABLE

# ---- options ----

long=$(repeat 60000 a)
while IFS='|' read -r option value code pattern; do
  [ -n "$option" ] || continue
  if [ "$option" = --machine ]; then
    plans "$option '$value'" "$code" --machine "$value"
  else
    plans "$option '$value'" "$code" --machine h100x8 "$option" "$value"
  fi
  [ -z "$pattern" ] || says "$pattern"
done <<TABLE
--workload|:|2|E0340
--workload|;|2|E0340
--workload|;;|2|E0340
--workload|main;main|2|there twice
--workload|main:,|2|E0340
--workload|main:=|2|E0340
--workload|main:batch|2|E0340
--workload|main:batch=|2|E0340
--workload|main:batch=nan|2|E0340
--workload|main:batch=inf|2|E0340
--workload|main:batch=0x10|2|E0340
--workload|main:batch= 4|2|E0340
--workload|main:batch=-1|2|bounds
--workload|main:batch=0|2|bounds
--workload|main:batch=1.5|2|bounds
--workload|main:batch=65537|2|bounds
--workload|main:batch=1e300|2|E0340
--workload|main:batch=99999999999999999999|2|E0340
--workload|main:batch=1,batch=2|2|a size is there twice
--workload|main:rows=4|2|no symbol 'rows'
--workload|main:%s%n=1|2|no symbol
--workload|main:weight=0|2|above 0
--workload|main:weight=-1|2|above 0
--workload|main:weight=nan|2|E0340
--workload|main:weight=1e-300|0|
--workload|main:weight=1e14|0|
--workload|a;b;c;d;e|2|too many phases
--workload|$long|2|too long
--workload|main:$long=1|2|no symbol
--parallel|tp|2|E0343
--parallel|tp=|2|E0343
--parallel|=2|2|E0343
--parallel|tp=0|2|E0343
--parallel|tp=-2|2|E0343
--parallel|tp=1e9|2|E0343
--parallel|tp=4097|2|E0343
--parallel|tp=16|2|needs 16 devices
--parallel|tp=64,dp=65|2|more than 4096 ranks
--parallel|tp=2,tp=2|2|E0343
--parallel|tp=2,|2|E0343
--parallel|,tp=2|2|E0343
--parallel|t p=2|2|E0343
--parallel|$long=2|2|E0343
--parallel|a=2,b=2,c=2,d=2,e=2,f=2,g=2,h=2,i=2|2|E0343
--parallel|cache=4|2|E0344.*no op of @main has key positions of attention
--parallel|cp=8|2|E0344.*no op of @main has query positions of attention
--parallel|ep=2|2|E0344.*no op of @main has experts
--parallel|tp=2,cache=4|2|E0344.*axis 'cache' of 4
--machine|h100x|2|E0341
--machine|h100x0|2|E0341
--machine|h100x9|2|room for 8
--machine|h100x-1|2|E0341
--machine|0xh100x8|2|E0341
--machine|65xh100x8|2|at most 64
--machine|2xcpux2|2|E0341
--machine|h100x8x8|2|E0341
--machine|h100x99999999999999999999|2|E0341
--machine|/dev/zero|2|E0341
--machine|:4|2|E0341
--machine|good.machine:0|2|E0341
--machine|good.machine:5|2|room for 4
--machine|good.machine:x|2|E0341
--machine|%s%n|2|E0341
--machine|$long|2|E0341
--objective|fast|2|E0802
--search-time|0|2|E0802
--search-time|-1s|2|E0802
--search-time|nan|2|E0802
--search-time|1e9999s|2|E0802
--search-time|1us|0|
--search-time|0s|0|
TABLE
plans "an option twice" "0 2" --machine h100x8 --machine h100x4
plans "a batch that one axis cannot split" 2 --machine h100x8 --workload main:batch=2 --parallel dp=8
says "E0344.*are 2, fewer than 8"
# What compiles by roles alone says why as well.
for axis in cache=4 cp=4 ep=4; do
  what="compile --parallel $axis"
  timeout 10 "$sinter" compile mlp.sir --parallel $axis -o out >/dev/null 2>err && fail "$what: no error"
  says "E0344.*can split nothing: no op of @main has"
done

# ---- what does not fit in memory ----

awk 'BEGIN { printf "constant @w : f32[8, 512] = ["; for (i = 0; i < 4096; i++) printf "%s0.5", i ? ", " : ""; print "]" }' >weights.sir
cat >>weights.sir <<'SIR'
func @main(%x: f32[batch, 8]) -> (f32[batch, 512]) where batch in 1..65536 {
  %w = const @w : f32[8, 512]
  %1 = contract %x, %w { lhs_k = [1], rhs_k = [0], dtype = f32 } : f32[batch, 512]
  return %1
}
entry @main("x") -> ("y") { @main; }
SIR
cp weights.sir mlp.sir
sed 's/memory 1GB/memory 17KB/' good.machine >small.machine
sed 's/memory 1GB/memory 3KB/' good.machine >smaller.machine
plans "a weight that fits whole" 0 --machine small.machine:1
plans "a weight that fits in parts" 0 --machine smaller.machine --workload main:batch=1
plans "a weight that does not fit" 4 --machine smaller.machine:2 --workload main:batch=1
says "E0345.*8.0 KiB.*2.9 KiB"
plans "a weight that may not be split" 4 --machine smaller.machine --workload main:batch=64 --parallel dp=8
says E0345
plans "no time, and nothing fits" 4 --machine smaller.machine:2 --search-time 1us
says E0345

# ---- annotations ----

if timeout 60 "$sinter" compile "$tree/models/digits_cnn/model.onnx" --parallel tp=2 --emit onnx -o split.onnx >/dev/null 2>&1; then
  n=0
  for at in $(grep -abo 'tp=2' split.onnx | cut -d: -f1); do
    for by in -9 -6 -3 -1 4 6 9 13; do
      n=$((n + 1))
      [ $((n % 7)) = 0 ] || continue
      cp split.onnx it.onnx
      printf "\\$((n * 29 % 4))$((n * 5 % 8))$((n * 3 % 8))" | dd of=it.onnx bs=1 seek=$((at + by)) conv=notrunc 2>/dev/null
      timeout 20 "$sinter" plan it.onnx --machine cpux2 --search-time 1s >out 2>err
      got=$?
      case $got in
      0) ;;
      2 | 3 | 4) grep -q '^error\[E[0-9]*\]: ' err || fail "annotation with byte $((at + by)) changed: no code" ;;
      *) fail "annotation with byte $((at + by)) changed: exits with $got" ;;
      esac
    done
  done
  [ $n -gt 20 ] || fail "no annotations in a split model"
else
  fail "the annotated model was not written"
fi

exit $bad
