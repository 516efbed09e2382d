#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What is installed is whole: the files are there, the libraries need and show only what they should,
# and applications build from the prefix through pkg-config and through the CMake package, and run.
set -u
build=$1 root=$2
model=$root/models/digits_cnn
bad=0
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
prefix=$work/moved

fail() { echo "FAILED: $*" && bad=1; }
quietly() { "$@" >"$work/log" 2>&1 || { fail "$*" && cat "$work/log" && return 1; }; }

# The prefix may be moved as a whole.
quietly cmake --install "$build" --prefix "$work/prefix" || exit 1
mv "$work/prefix" "$prefix"

lib=$prefix/lib
for file in bin/sinter lib/libsinter_runtime.a lib/libsinter_runtime.so lib/libsinter_compiler.so \
  include/sinter/runtime.h include/sinter/compiler.h lib/pkgconfig/sinter-runtime.pc \
  lib/pkgconfig/sinter-compiler.pc lib/cmake/Sinter/SinterConfig.cmake \
  lib/cmake/Sinter/SinterConfigVersion.cmake share/bash-completion/completions/sinter \
  share/doc/sinter/LICENSE share/doc/sinter/examples/classify.c; do
  [ -s "$prefix/$file" ] || fail "$file is not installed"
done
command -v scdoc >/dev/null && [ ! -s "$prefix/share/man/man1/sinter.1" ] && fail "there is no manual page"
grep -rl "$build\|$root" "$prefix/lib/cmake" "$prefix/lib/pkgconfig" && fail "package files name the build"

# ---- what the libraries need and show ----

needed() { readelf -d "$1" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | sort | tr '\n' ' '; }
exports() { nm -D --defined-only "$1" | awk '$2 != "A" { print $3 }' | sed 's/@.*//' | sort; }
declared() { awk '/^SINTER_API/ { on = 1 } on { print } /;/ { on = 0 }' "$prefix/include/sinter/$1.h" | grep -oE '\bsinter_[a-z_]+\(' | tr -d '(' | sort -u; }

for library in $(needed "$lib/libsinter_runtime.so"); do
  case $library in
    libc.so.6 | libm.so.6 | libpthread.so.0 | libdl.so.2 | ld-linux-x86-64.so.2) ;;
    *) fail "libsinter_runtime.so needs $library" ;;
  esac
done
ldd "$lib/libsinter_runtime.so" | grep -E 'LLVM|stdc\+\+|protobuf|not found' && fail "libsinter_runtime.so loads these"
readelf -d "$lib/libsinter_runtime.so" | grep -q 'SONAME.*libsinter_runtime\.so\.[0-9]' || fail "libsinter_runtime.so has no versioned soname"
readelf -d "$lib/libsinter_compiler.so" | grep -q 'SONAME.*libsinter_compiler\.so\.[0-9]' || fail "libsinter_compiler.so has no versioned soname"
for name in runtime compiler; do
  declared $name >"$work/declared"
  exports "$lib/libsinter_$name.so" >"$work/exports"
  [ -s "$work/declared" ] || fail "$name.h declares nothing"
  diff "$work/declared" "$work/exports" || fail "libsinter_$name.so shows other names than its header declares"
done
nm -g --defined-only "$lib/libsinter_runtime.a" 2>/dev/null | awk 'NF == 3 { print $3 }' | sort >"$work/exports"
declared runtime | diff - "$work/exports" || fail "libsinter_runtime.a shows other names than its header declares"
nm -D --defined-only "$prefix/bin/sinter" | grep -iE 'llvm|sinter_' && fail "the program shows these names"

# ---- applications ----

sinter=$prefix/bin/sinter
version=$("$sinter" version | awk '{ print $2 }')
quietly "$sinter" compile "$model/model.onnx" -o "$work/digits.sinter" --quiet
examples=$prefix/share/doc/sinter/examples
for example in "$examples"/*.c; do
  [ "$(wc -l <"$example")" -le 60 ] || fail "$(basename "$example") has more than 60 lines"
done

classifies() { # program
  LD_LIBRARY_PATH=$lib "$1" "$work/digits.sinter" "$model/digits_test_images.f32" \
    "$model/digits_test_labels.i64" >"$work/log" 2>&1 || fail "$1 fails: $(cat "$work/log")"
  grep -q '^359 of 360 images right' "$work/log" || fail "$1 says: $(cat "$work/log")"
}
compiles() { # program
  LD_LIBRARY_PATH=$lib "$1" "$model/model.onnx" "$work/other.sinter" 2>"$work/log" ||
    fail "$1 fails: $(cat "$work/log")"
  cmp "$work/digits.sinter" "$work/other.sinter" || fail "library and program compile to other bytes"
  grep -q '/[0-9]* [a-z]' "$work/log" || fail "$1 tells no progress"
  LD_LIBRARY_PATH=$lib "$1" "$root/LICENSE" "$work/none.sinter" >"$work/log" 2>&1 && fail "$1 compiles a licence"
  grep -q 'error\[E01' "$work/log" || fail "$1 does not say what is wrong: $(cat "$work/log")"
  [ ! -e "$work/none.sinter" ] || fail "a failure leaves a file"
}

cc=${CC:-cc} strict='-std=c99 -Wall -Wextra -Werror -pedantic'
if command -v pkg-config >/dev/null; then
  export PKG_CONFIG_PATH="$lib/pkgconfig"
  [ "$(pkg-config --modversion sinter-runtime)" = "$version" ] || fail "pkg-config and program differ in version"
  # shellcheck disable=SC2046,SC2086
  quietly $cc $strict "$examples/classify.c" -o "$work/classify" $(pkg-config --cflags --libs sinter-runtime) &&
    classifies "$work/classify"
  # shellcheck disable=SC2046,SC2086
  quietly $cc $strict "$examples/classify.c" -o "$work/classify_static" $(pkg-config --cflags sinter-runtime) \
    "$lib/libsinter_runtime.a" $(pkg-config --static --libs-only-other sinter-runtime) -lm && classifies "$work/classify_static"
  # shellcheck disable=SC2046,SC2086
  quietly $cc $strict "$examples/compile.c" -o "$work/compile" $(pkg-config --cflags --libs sinter-compiler) &&
    compiles "$work/compile"
else
  echo "pkg-config was not found: building through it is left out"
fi

quietly cmake -S "$examples" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$prefix" &&
  quietly cmake --build "$work/cmake" && {
  classifies "$work/cmake/classify"
  classifies "$work/cmake/classify_static"
  compiles "$work/cmake/compile"
}
ldd "$work/cmake/classify_static" | grep sinter && fail "the static library is not"

# An LLVM in the library does not meet one of the host's.
for llvm in /usr/lib/llvm-*/lib/libLLVM*.so.1 /usr/lib/llvm-*/lib/libLLVM.so.*; do
  [ -x "$work/cmake/compile" ] && [ -e "$llvm" ] || continue
  LD_PRELOAD=$llvm LD_LIBRARY_PATH=$lib "$work/cmake/compile" "$model/model.onnx" "$work/beside.sinter" 2>"$work/log" ||
    fail "the compiler beside $llvm: $(cat "$work/log")"
done

# The bill of materials names what is linked, and is the same twice.
if command -v dpkg-query >/dev/null && command -v python3 >/dev/null; then
  for n in 1 2; do "$root/scripts/sbom" "$prefix/bin/sinter" "$lib/libsinter_runtime.so" >"$work/sbom$n.json" || fail "sbom"; done
  cmp -s "$work/sbom1.json" "$work/sbom2.json" || fail "two bills of materials differ"
  python3 - "$work/sbom1.json" "$version" <<'EOF' || fail "the bill of materials is wrong"
import json, sys
d = json.load(open(sys.argv[1]))
assert d["spdxVersion"] == "SPDX-2.3" and d["name"] == "sinter-" + sys.argv[2]
names = {p["SPDXID"]: p for p in d["packages"]}
linked = {names[r["relatedSpdxElement"]]["name"] for r in d["relationships"] if r["relationshipType"] == "DYNAMIC_LINK"}
assert "libc6" in linked, linked
assert all(p["versionInfo"] for p in d["packages"]) and len(d["files"]) == 2
EOF
fi

# Both libraries in one process, and headers that C++ takes.
if command -v c++ >/dev/null; then
  printf '#include <sinter/compiler.h>\nint main() { return sinter_version() == nullptr; }\n' >"$work/both.cc"
  quietly c++ -Wall -Wextra -Werror "-I$prefix/include" "$work/both.cc" -o "$work/both" "-L$lib" \
    -Wl,--no-as-needed -lsinter_runtime -lsinter_compiler && { LD_LIBRARY_PATH=$lib "$work/both" || fail "both libraries in one process"; }
fi
exit $bad
