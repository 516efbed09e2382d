#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The arrows between the rooms point one way: each room includes only what its row allows. LLVM stays
# inside codegen/. Also: file names are unique over the tree, beside ir/ops/, whose files are named for
# primitives; and every source says its licence.
set -u
cd "$1" || exit 4
bad=0

room() { # folder allowed-folders
  [ -d "$1" ] || return 0
  found=$(find "$1" -name '*.[chly]' -exec grep -HnE '^#include "' {} + | grep -vE "#include \"($2)/")
  [ -z "$found" ] || { printf '%s may not include:\n%s\n' "$1" "$found" && bad=1; }
}

room base 'base'
room ir 'base|ir'
room frontend 'base|ir|frontend'
room passes 'base|ir|runtime|passes'
room codegen 'base|ir|runtime|codegen'
room compiler 'base|ir|frontend|passes|codegen|runtime|compiler|sinter'
room runtime 'base|runtime|include/sinter'
room sim 'base|sim'

found=$(find base ir frontend passes runtime compiler cli sim -name '*.[chly]' -exec grep -Hn 'llvm-c/' {} + 2>/dev/null)
[ -z "$found" ] || { printf 'LLVM outside codegen/:\n%s\n' "$found" && bad=1; }

sources=$(find base ir frontend passes codegen runtime compiler sim cli include tests \
  -name '*.[chly]' -o -name '*.def' -o -name '*.proto' 2>/dev/null)
found=$(echo "$sources" | grep -v '^ir/ops/' | sed 's,.*/,,' | sort | uniq -d)
[ -z "$found" ] || { printf 'names used twice:\n%s\n' "$found" && bad=1; }

for file in $sources; do
  head -n 3 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' ||
    { echo "$file: no licence line" && bad=1; }
done
exit $bad
