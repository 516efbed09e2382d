/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns, the texts they match as a whole, and those that are refused. */
#include "base/host_match.h"
#include "frontend/onnx/regex_automaton.h"

#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static enum regex_result build(const char *pattern, struct arena *arena,
                               struct host_automaton *out) {
  const uint8_t *bytes;
  uint64_t n;
  const char *why = NULL;
  struct str text = {pattern, strlen(pattern)};
  enum regex_result result = regex_automaton(text, arena, &bytes, &n, &why);
  if (result)
    assert_non_null(why);
  else
    assert_true(host_match_open(bytes, n, out));
  return result;
}

static bool matches(const char *pattern, const char *text) {
  struct arena arena = {0};
  struct host_automaton a;
  enum regex_result result = build(pattern, &arena, &a);
  if (result)
    fail_msg("pattern '%s' is refused", pattern);
  bool yes = host_match_run(&a, text, strlen(text));
  arena_deinit(&arena);
  return yes;
}

static void whole_matches(void **state) {
  (void)state;
  static const struct {
    const char *pattern, *yes[5], *no[5];
  } cases[] = {
      {"", {""}, {"a"}},
      {"abc", {"abc"}, {"ab", "abcd", "xabc", ""}},
      {"a|bc|", {"a", "bc", ""}, {"b", "abc"}},
      {"a*", {"", "a", "aaaa"}, {"b", "ab"}},
      {"(ab)+?c?", {"ab", "ababc"}, {"", "c", "aba"}},
      {"a{2,3}", {"aa", "aaa"}, {"a", "aaaa"}},
      {"a{2}", {"aa"}, {"a", "aaa"}},
      {"a{2,}b", {"aab", "aaaaab"}, {"ab"}},
      {"a{,2}", {"a{,2}"}, {"a", "aa"}}, /* no count in RE2, so characters */
      {"[a-c]x[^a-c]", {"axd", "cx-", "bx\xC3\xA9"}, {"dxd", "axa"}},
      {"[]a]+", {"]a]"}, {"b"}},
      {"[a-]+", {"a-a"}, {"b"}},
      {"[[:alpha:]_][[:^digit:]]", {"a_", "__"}, {"a1", "1a"}},
      {"\\d+\\.\\d*", {"1.", "12.50"}, {"a.1", "."}},
      {"\\w\\W\\s\\S", {"a- b", "_+\tx"}, {"aab ", "a- "}},
      {"[\\d\\-x]+", {"1-x"}, {"a"}},
      {".", {"a", "\xC3\xA9", "\xF0\x9F\x98\x80", "\xEF\xBF\xBF"}, {"\n", "ab", "\xC3", ""}},
      {"\xC3\xA9+", {"\xC3\xA9\xC3\xA9"}, {"\xC3\xA9\xA9"}},
      {"[\xC3\xA0-\xE2\x82\xAC]",
       {"\xC3\xA9", "\xE0\xA4\x84", "\xE2\x82\xAC"},
       {"\xE2\x82\xAD", "a"}},
      {"\\x41\\x{e9}\\n", {"A\xC3\xA9\n"}, {"A"}},
      {"^abc$", {"abc"}, {"ab"}},
      {"a^b|c", {"c"}, {"ab", "a^b"}},
      {"a*$^", {""}, {"a", "aa"}},
      {"(^a|b)*", {"abb", "bb", "", "a"}, {"ba", "aa"}},
      {"\\bfoo\\b.*", {"foo", "foo bar"}, {"foob"}},
      {"a\\Bb\\b", {"ab"}, {"a b"}},
      {"(?:x|y)(?P<n>z)", {"xz", "yz"}, {"z"}},
      {"(a*)*b", {"b", "aaab"}, {"a"}},
      {"[^\\x00-\\x{10FFFF}]", {NULL}, {"", "a"}},
  };
  for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
    for (int k = 0; k < 5 && cases[i].yes[k]; k++)
      if (!matches(cases[i].pattern, cases[i].yes[k]))
        fail_msg("'%s' does not match '%s'", cases[i].pattern, cases[i].yes[k]);
    for (int k = 0; k < 5 && cases[i].no[k]; k++)
      if (matches(cases[i].pattern, cases[i].no[k]))
        fail_msg("'%s' matches '%s'", cases[i].pattern, cases[i].no[k]);
  }
}

static void refused(void **state) {
  (void)state;
  static const char *const invalid[] = {"(",           ")",      "a)",      "[a",     "*a",
                                        "a**",         "a{3,2}", "a\\",     "[b-a]",  "a{1001}",
                                        "\\x{110000}", "\xFF",   "[[:x:]]", "(?P<>a)"};
  static const char *const unsupported[] = {"(?i)a",
                                            "\\pL",
                                            "\\1",
                                            "\\Qa\\E",
                                            "[01]{0,900}x[01]{900}",
                                            "((a{100}){100}){100}",
                                            "(((){1000}){1000}){1000}",
                                            ".*[01].{14}"};
  struct arena arena = {0};
  struct host_automaton a;
  for (unsigned i = 0; i < sizeof invalid / sizeof *invalid; i++)
    if (build(invalid[i], &arena, &a) != REGEX_INVALID)
      fail_msg("'%s' is not invalid", invalid[i]);
  for (unsigned i = 0; i < sizeof unsupported / sizeof *unsupported; i++)
    if (build(unsupported[i], &arena, &a) != REGEX_UNSUPPORTED)
      fail_msg("'%s' is not unsupported", unsupported[i]);
  static char deep[512];
  memset(deep, '(', sizeof deep - 1);
  assert_int_equal(build(deep, &arena, &a), REGEX_UNSUPPORTED);
  arena_deinit(&arena);
}

/* Patterns in the part of the syntax that POSIX shares, against the C library's matcher. */
static void like_posix(void **state) {
  (void)state;
  uint32_t seed = 1;
  for (int round = 0; round < 400; round++) {
    char pattern[64] = "", anchored[80];
    for (int i = 0; i < 6; i++) {
      static const char *const pieces[] = {"a",       "b",  "(a|b)", "[ab]",
                                           "(ab|b)*", "a?", ".",     "(a*b)+"};
      seed = seed * 1664525 + 1013904223;
      strcat(pattern, pieces[seed >> 29]);
    }
    snprintf(anchored, sizeof anchored, "^(%s)$", pattern);
    regex_t regex;
    assert_int_equal(regcomp(&regex, anchored, REG_EXTENDED | REG_NOSUB), 0);
    for (unsigned bits = 0; bits < 256; bits++) {
      char text[9] = "";
      for (unsigned i = 0; i < bits % 9; i++)
        text[i] = bits >> (i % 8) & 1 ? 'a' : 'b';
      text[bits % 9] = 0;
      bool wanted = regexec(&regex, text, 0, NULL, 0) == 0;
      if (matches(pattern, text) != wanted)
        fail_msg("'%s' on '%s'", pattern, text);
      bits += 2;
    }
    regfree(&regex);
  }
}

/* What a search may have: where backtracking and the longest match agree, and nothing empty. */
static void tokens(void **state) {
  (void)state;
  static const struct {
    const char *pattern;
    enum regex_result result;
  } cases[] = {
      {"[a-z]+", REGEX_OK},         {"\\w\\w+", REGEX_OK},           {"a{3}b{2,}", REGEX_OK},
      {"(ab){2}c*", REGEX_OK},      {"\xC3\xA9+", REGEX_OK},         {"a|ab", REGEX_UNSUPPORTED},
      {"a+?", REGEX_UNSUPPORTED},   {"ab?(bc)?", REGEX_UNSUPPORTED}, {"a+b", REGEX_UNSUPPORTED},
      {"(ab)+", REGEX_UNSUPPORTED}, {"\\bab", REGEX_UNSUPPORTED},    {"^a", REGEX_UNSUPPORTED},
      {"a*", REGEX_UNSUPPORTED},    {"", REGEX_UNSUPPORTED},         {"[a", REGEX_INVALID},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct arena arena = {0};
    const uint8_t *bytes;
    uint64_t n;
    const char *why = NULL;
    struct str text = {cases[i].pattern, strlen(cases[i].pattern)};
    if (regex_token_automaton(text, &arena, &bytes, &n, &why) != cases[i].result)
      fail_msg("pattern '%s': %s", cases[i].pattern, why ? why : "taken");
    assert_true(!cases[i].result || why);
    arena_deinit(&arena);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(whole_matches),
      cmocka_unit_test(refused),
      cmocka_unit_test(like_posix),
      cmocka_unit_test(tokens),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
