#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the PTX that the tests load anew: needs nvcc 13.
cd "$(dirname "$0")" || exit 1
for f in *.cu; do
  nvcc -std=c++17 -w -arch=sm_90a -ptx -O2 "$f" -o - | grep -v '^// \(Cuda\|Based\|Compiler\|Generated\)' > "${f%.cu}.ptx" || exit 1
done
