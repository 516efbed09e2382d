/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether this processor runs a target's code. A target is a level of the x86-64 psABI, perhaps
 * with features from cpu_feature.def: "x86-64", "x86-64-v3", "x86-64-v4+avx512vnni".
 */
#ifndef SINTER_RUNTIME_CPU_TARGET_H
#define SINTER_RUNTIME_CPU_TARGET_H

#include <stdbool.h>
#include <stddef.h>

/* What the processor and the system offer, as bits in the order of cpu_feature.def. */
unsigned long long cpu_target_features(void);

/*
 * False if a feature is missing or the name is not understood; then *out_missing names the first
 * such part, in static storage or in the name itself.
 */
bool cpu_target_runs(const char *target, unsigned long long features, const char **out_missing);

/*
 * The name of a target that asks for everything this processor has: what code made for "native"
 * needs. Returns false if it does not fit, or the processor is of no level.
 */
bool cpu_target_describe(unsigned long long features, char *buffer, size_t n);

/* The best level this processor has: "x86-64-v3". Static storage. */
const char *cpu_target_best(unsigned long long features);

#endif
