#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# ONNX's own node tests: a change of any outcome is a failure, for better or worse. Needs the onnx 1.22.0
# package; SINTER_NODE_TESTS names its folder onnx/backend/test/data/node, else python3 is asked.
# One case in three, or all with SINTER_TEST_ALL=1. After a change that is meant:
#
#   sinter test $SINTER_NODE_TESTS --tolerances tests/conformance/node_tests.tolerances \
#     --write-expect tests/conformance/node_tests.expect
set -u
sinter=$1 lists=$2/tests/conformance
cases=${SINTER_NODE_TESTS:-$(python3 -c 'import importlib.util as u; s = u.find_spec("onnx"); print(s.submodule_search_locations[0] + "/backend/test/data/node" if s else "")' 2>/dev/null)}
if [ -z "$cases" ] || [ ! -d "$cases" ]; then
  echo "skipped: the onnx package is not here; pip install onnx==1.22.0, or set SINTER_NODE_TESTS"
  exit 77
fi
part=3
[ -z "${SINTER_TEST_ALL:-}" ] || part=1
exec "$sinter" test "$cases" --part $part --jobs "${SINTER_JOBS:-2}" --timeout 60s \
  --tolerances "$lists/node_tests.tolerances" --expect "$lists/node_tests.expect"
