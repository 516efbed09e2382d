#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Stands in for NVIDIA's assembler: says its version, makes something that is no cubin, and refuses or warns of
# kernels as FAKE_PTXAS says (refuse, warn, old, die).
case $1 in
--version)
  echo "ptxas: a fake"
  echo "Cuda compilation tools, release 1.2, V1.2.3"
  exit 0
  ;;
esac
arch=${1#-arch=}
line=$(grep -n 'st.global' kernels.ptx | head -n 1 | cut -d: -f1)
case $FAKE_PTXAS in
old)
  echo "ptxas fatal   : Value '$arch' is not defined for option 'gpu-name'"
  exit 1
  ;;
esac
[ -n "$line" ] && case $FAKE_PTXAS in
refuse)
  echo "ptxas kernels.ptx, line $line; error   : Arguments mismatch for instruction 'st'"
  echo "ptxas fatal   : Ptx assembly aborted due to errors"
  exit 255
  ;;
die) kill -9 $$ ;;
warn)
  kernel=$(sed -n 's/.*\.entry \([^(]*\)(.*/\1/p' kernels.ptx | head -n 1)
  echo "ptxas warning : (C7508) Potential Performance Loss: 'setmaxnreg' ignored in function '$kernel'"
  ;;
esac
echo "code for $arch of $(grep -c entry kernels.ptx) kernels" > kernels.cubin
