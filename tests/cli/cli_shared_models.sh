#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The exported models beside the tree (../shared/data), or in SINTER_MODELS: a change of any outcome is a
# failure. After a change that is meant:
#
#   sinter test ../shared/data --tolerances ../shared/data/tolerances.txt \
#     --write-expect tests/conformance/shared_models.expect
set -u
sinter=$1 root=$2
models=${SINTER_MODELS:-$root/../shared/data}
if [ ! -d "$models" ]; then
  echo "skipped: there are no models at $models"
  exit 77
fi
exec "$sinter" test "$models" --jobs "${SINTER_JOBS:-2}" --tolerances "$models/tolerances.txt" \
  --expect "$root/tests/conformance/shared_models.expect"
