#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# How each model of the zoo is split over machines at its true size, against models/plans/*.split.csv:
# the mesh, bytes that a device holds, bytes that it receives in a run. What the search predicts of
# times is written to models/plans/*.predict.csv by --update, and compared with nothing.
#
#   zoo_splits.sh SINTER ZOO TREE            compares
#   zoo_splits.sh SINTER ZOO TREE --update   writes the files anew and shows what has changed
set -u
sinter=$1 zoo=$2 root=$3 update=${4:-}
bad=0
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
python3 -c 'import json' 2>/dev/null || exit 77

for model in $("$zoo" --list); do
  "$zoo" "$model" --size full --external weights.bin --sparse -o "$work/$model" || exit 1
  for machine in cpux4 h100x4 l40sx4 h100x8 2xh100x8; do
    "$sinter" plan "$work/$model/model.onnx" --machine $machine --json >"$work/$machine.json" || exit 1
  done
  python3 - "$work" >"$work/now" 3>"$work/predicted" <<'END' || exit 1
import json, os, sys
print("machine,phase,mesh,bytes held,bytes received,limited by,gap")
times = os.fdopen(3, "w")
print("machine,phase,seconds,compute,memory,launch,communication", file=times)
for machine in "cpux4", "h100x4", "l40sx4", "h100x8", "2xh100x8":
    plan = json.load(open(f"{sys.argv[1]}/{machine}.json"))
    if plan["status"] != "ok" or plan["diagnostics"]:
        sys.exit(f"{machine}: {plan['diagnostics']}")
    mesh = " ".join(f"{a['name']}={a['size']}" for a in plan["mesh"])
    for phase in plan["phases"]:
        t = phase["time"]
        print(machine, phase["name"], mesh, plan["bytes"], t["bytes_received"],
              phase["limited_by"], "%.3g" % plan["gap"], sep=",")
        parts = [t[k] for k in ("compute", "memory", "launch", "communication")]
        print(machine, phase["name"], *("%.4g" % x for x in [sum(parts)] + parts), sep=",",
              file=times)
END
  golden=$root/models/plans/$model.split.csv
  cmp -s "$work/now" "$golden" && [ "$update" != --update ] && continue
  touch "$work/empty"
  diff -u "$([ -f "$golden" ] && echo "$golden" || echo "$work/empty")" "$work/now" |
    sed "1,2d; s/^@@.*/$model:/"
  if [ "$update" = --update ]; then
    cp "$work/now" "$golden" && cp "$work/predicted" "$root/models/plans/$model.predict.csv"
  else
    bad=1
  fi
done
[ $bad = 0 ] || echo "if that is what was meant: tests/zoo/zoo_splits.sh build/release/sinter build/release/zoo . --update"
exit $bad
