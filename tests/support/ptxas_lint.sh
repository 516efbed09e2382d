#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Assembles PTX, where there is a ptxas, for the architecture given: a spill, a stack frame or a warning fails.
#   ptxas_lint.sh sm_80 FILE
set -u
ptxas=$(command -v ptxas || echo /usr/local/cuda/bin/ptxas)
if [ ! -x "$ptxas" ]; then
  echo "ptxas_lint: skipped, there is no ptxas"
  exit 0
fi
said=$("$ptxas" -arch="$1" -v "$2" -o /dev/null 2>&1) || { echo "$said"; exit 1; }
echo "$said" | grep -E 'warning|C75[0-9][0-9]|[1-9][0-9]* bytes (stack frame|spill stores|spill loads)' && exit 1
exit 0
