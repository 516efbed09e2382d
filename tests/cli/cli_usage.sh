#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The command line itself: every verb explains itself, completions agree with help, mistakes are errors
# with a code and a hint, reports are JSON.
set -u
sinter=$1
bad=0
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT

fail() { echo "FAILED: $*" && bad=1; }

# expect CODE PATTERN command...: the exit code, and what stderr must show
expect() {
  code=$1 pattern=$2
  shift 2
  "$@" >"$work/out" 2>"$work/err"
  got=$?
  [ $got = "$code" ] || fail "'$*' exits with $got, not $code"
  [ -z "$pattern" ] || grep -q -- "$pattern" "$work/err" || { fail "'$*' does not say: $pattern" && cat "$work/err"; }
}

# JSON is checked by whatever this machine has for it.
is_json() {
  if command -v python3 >/dev/null; then python3 -m json.tool "$1" >/dev/null
  elif command -v jq >/dev/null; then jq . "$1" >/dev/null
  else [ "$(head -c 1 "$1")" = "{" ]
  fi
}

expect 0 '' "$sinter"
expect 0 '' "$sinter" --help
expect 0 '' "$sinter" --version
expect 2 "did you mean 'sinter version'" "$sinter" versoin
expect 2 "there is no verb 'frobnicate'" "$sinter" frobnicate
expect 2 "did you mean '--json'" "$sinter" devices --jsno
expect 2 "has no option '--nonsense'" "$sinter" devices --nonsense=3
expect 2 "takes no value" "$sinter" devices --json=1
expect 2 "one argument too many" "$sinter" version now
expect 2 "wants 1 argument" "$sinter" completions
expect 2 "E0801" "$sinter" completions fish
expect 2 "E0801" "$sinter" help nonsense

# A word after -- is an argument, even if it looks like an option.
expect 2 "'--json' is one argument too many" "$sinter" version -- --json

verbs=$("$sinter" help | awk '/^  [a-z]/ { print $1 }')
[ "$(echo "$verbs" | wc -l)" -ge 4 ] || fail "help lists no verbs"
"$sinter" completions bash >"$work/completions"
"$sinter" help --man >"$work/man"
for verb in $verbs; do
  "$sinter" "$verb" --help >"$work/help" || fail "'$verb --help' fails"
  head -n 1 "$work/help" | grep -q "^usage: sinter $verb" || fail "'$verb --help' shows no usage"
  "$sinter" help "$verb" | cmp -s - "$work/help" || fail "'help $verb' and '$verb --help' differ"
  offered=$(sed -n "s/^    $verb) options='\(.*\)' ;;/\1/p" "$work/completions" | tr ' ' '\n' | sed '/^$/d' | sort)
  explained=$(grep -oE '^  (-[a-zA-Z], |    )--[a-z-]+' "$work/help" | grep -oE -- '--[a-z-]+' | sort)
  [ "$offered" = "$explained" ] || fail "completions and help of '$verb' differ"
  grep -q "^## sinter $verb " "$work/man" || fail "the manual does not have '$verb'"
done
if command -v bash >/dev/null; then
  bash -n "$work/completions" || fail "the completions are no bash script"
  words=$(bash -c '. "$1"; COMP_WORDS=(sinter dev) COMP_CWORD=1; _sinter; echo "${COMPREPLY[@]}"' - "$work/completions")
  [ "$words" = devices ] || fail "'dev' completes to '$words'"
fi
if command -v scdoc >/dev/null; then
  scdoc <"$work/man" >/dev/null || fail "scdoc refuses the manual"
fi

for verb in devices version passes; do
  "$sinter" $verb --json >"$work/json" || fail "'$verb --json' fails"
  is_json "$work/json" || fail "'$verb --json' is not JSON"
  grep -q '"status": "ok"' "$work/json" || fail "'$verb --json' has no status"
done
[ ! -e /dev/full ] || { "$sinter" version >/dev/full 2>"$work/err" && fail "a full disk goes unnoticed"; }

exit $bad
