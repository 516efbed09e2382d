#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The runtime lives inside other people's processes: of base/ it calls nothing that jumps or exits when
# memory runs out, and it needs no LLVM and no C++.
set -u
found=$(nm -u "$1" | awk '$1 == "U" { print $2 }' | sort -u | grep -E \
  '^(mem_(alloc|calloc|realloc|exhausted)|arena_(alloc|new|mem|str|printf).*|vec_grow|map_put|strmap_put.*|strbuf_.*|intern_.*|json_init_strbuf|LLVM.*|_Z.*|exit|abort|setjmp|_setjmp|longjmp)$')
[ -z "$found" ] && exit 0
echo "$1 must not use:"
echo "$found"
exit 1
