#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Ranks as processes: an engine for tp=2,dp=2 gives under mpirun what its four threads give, bit for bit, and
# rank 0 alone prints; so do two network namespaces that know each other by TCP only, as two hosts would, where
# this may make such. Without mpirun its variables are set here.
set -u
sinter=$1 tree=$2
work=$(mktemp -d) || exit 4
spaces=
trap 'for s in $spaces; do ip netns del $s; done 2>/dev/null; rm -rf "$work"' EXIT
bad=0
fail() { echo "processes: $*" && bad=1; }

# Four processes of a program, as mpirun would start them.
launch() {
  if command -v mpirun >/dev/null; then
    OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 timeout 120 mpirun --oversubscribe -n 4 "$@"
    return
  fi
  here=$work/launched; rm -f "$here".*
  for rank in 0 1 2 3; do
    (OMPI_COMM_WORLD_RANK=$rank OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_LOCAL_RANK=$rank \
     OMPI_COMM_WORLD_LOCAL_SIZE=4 PMIX_NAMESPACE=test-$$ timeout 120 "$@" >"$here.out$rank" 2>"$here.err$rank" ||
     touch "$here.failed") &
  done
  wait
  cat "$here".out? && cat "$here".err? >&2
  [ ! -e "$here.failed" ]
}
command -v mpirun >/dev/null || echo "processes: no mpirun here (openmpi-bin): its variables, and no mpirun"

model=$tree/models/chars_llama_plain/model.onnx
"$sinter" compile "$model" --quiet --parallel tp=2,dp=2 -o "$work/four.sinter" || exit 1
run() { # out-file command...
  out=$1; shift
  "$@" run "$work/four.sinter" --random-inputs --seed 3 >"$out" 2>"$out.err" || { cat "$out.err" && fail "a run failed"; }
}
run "$work/threads" "$sinter"
run "$work/processes" launch "$sinter"
cmp "$work/threads" "$work/processes" || fail "processes print something else than threads"
run_tensor() { # file devices-command...
  file=$1; shift
  "$@" run "$work/four.sinter" --random-inputs --seed 3 --check-collectives \
    --output "$name=@$file" >/dev/null || fail "a run with outputs failed"
}
name=$(sed -n '1s/: .*//p' "$work/threads")
run_tensor "$work/t.npy" "$sinter"
run_tensor "$work/p.npy" launch "$sinter"
cmp "$work/t.npy" "$work/p.npy" || fail "'$name' has other bits in processes than in threads"
lines=$(launch "$sinter" bench "$work/four.sinter" --random-inputs --duration 0.1s --warmup 0.01s | grep -c '^rate')
[ "$lines" = 1 ] || fail "bench printed $lines reports"
launch "$sinter" test "$tree/models/chars_llama_plain" --parallel tp=2,dp=2 \
  --tolerances "$tree/models/tolerances.txt" >"$work/test.out" 2>&1 || { cat "$work/test.out" && fail "test failed"; }
grep -q '^1 passed' "$work/test.out" || fail "test printed $(cat "$work/test.out")"
"$sinter" compile "$tree/models/chars_llama/model.onnx" --quiet --parallel tp=2 -o "$work/two.sinter"
launch "$sinter" run "$work/two.sinter" --random-inputs >/dev/null 2>"$work/err" && fail "four processes ran an engine for two"
grep -q 'E0512.*for 2 ranks, there are 4 processes' "$work/err" || fail "wrong count: $(cat "$work/err")"

# The same, between two hosts: ranks 0 and 1 in one network namespace, 2 and 3 in another.
a=sinter-$$-a b=sinter-$$-b
if ip netns add $a 2>/dev/null && spaces=$a && ip netns add $b 2>/dev/null && spaces="$a $b" &&
  ip link add va type veth peer name vb netns $b 2>/dev/null && ip link set va netns $a 2>/dev/null; then
  ip -n $a addr add 10.91.7.1/24 dev va && ip -n $a link set va up && ip -n $a link set lo up
  ip -n $b addr add 10.91.7.2/24 dev vb && ip -n $b link set vb up && ip -n $b link set lo up
  for rank in 0 1 2 3; do
    space=$a; [ $rank -lt 2 ] || space=$b
    RANK=$rank WORLD_SIZE=4 MASTER_ADDR=10.91.7.1 MASTER_PORT=29500 timeout 120 ip netns exec $space \
      "$sinter" run "$work/four.sinter" --random-inputs --seed 3 >"$work/host$rank" 2>"$work/host$rank.err" &
  done
  wait
  cmp "$work/threads" "$work/host0" || { cat "$work"/host?.err; fail "two hosts print something else than threads"; }
  [ ! -s "$work/host1" ] && [ ! -s "$work/host2" ] && [ ! -s "$work/host3" ] || fail "other ranks than 0 printed"
  # A host that goes away is told of on the other.
  start=$(date +%s)
  for rank in 0 1 2 3; do
    space=$a; [ $rank -lt 2 ] || space=$b
    SINTER_FAULTS='rank=3 step=9 kill' RANK=$rank WORLD_SIZE=4 MASTER_ADDR=10.91.7.1 MASTER_PORT=29501 timeout 120 \
      ip netns exec $space "$sinter" run "$work/four.sinter" --random-inputs >/dev/null 2>"$work/killed$rank" &
  done
  wait
  for rank in 0 1 2; do
    grep -q 'E0708.*rank 3 has ended' "$work/killed$rank" || fail "rank $rank of two hosts: $(cat "$work/killed$rank")"
  done
  echo "processes: a rank killed on another host was told of after $(($(date +%s) - start)) s"
else
  echo "processes: two hosts skipped: network namespaces need root (ip netns)"
fi
exit $bad
