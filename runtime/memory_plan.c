/* SPDX-License-Identifier: Apache-2.0 */
/* Greedy best-fit packing; see memory_plan.h. */
#include "runtime/memory_plan.h"

#include "base/checked.h"

#define MOST_BYTES ((uint64_t)1 << 62)

static uint64_t padded(const struct memory_item *item) {
  return (item->bytes + MEMORY_PLAN_ALIGNMENT - 1) & ~(uint64_t)(MEMORY_PLAN_ALIGNMENT - 1);
}

static bool sizes_ok(const struct memory_item *items, uint32_t n) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < n; i++) {
    if (items[i].last < items[i].first || items[i].bytes > MOST_BYTES)
      return false;
    sum += padded(&items[i]);
    if (sum > MOST_BYTES)
      return false;
  }
  return true;
}

/* Larger first, then earlier, then by index: a total order. */
static bool goes_before(const struct memory_item *items, uint32_t a, uint32_t b) {
  const struct memory_item *x = &items[a], *y = &items[b];
  if (x->bytes != y->bytes)
    return x->bytes > y->bytes;
  if (x->first != y->first)
    return x->first < y->first;
  return a < b;
}

typedef bool item_order(const struct memory_item *items, uint32_t a, uint32_t b);

static void sift_down(const struct memory_item *items, item_order *before, uint32_t *heap,
                      uint32_t root, uint32_t n) {
  for (;;) {
    uint64_t child = 2 * (uint64_t)root + 1;
    if (child >= n)
      return;
    if (child + 1 < n && before(items, heap[child], heap[child + 1]))
      child++;
    if (before(items, heap[child], heap[root]))
      return;
    uint32_t t = heap[root];
    heap[root] = heap[child];
    heap[child] = t;
    root = (uint32_t)child;
  }
}

/* Heap sort: in place, no recursion, no worst case. */
static void sort_items(const struct memory_item *items, item_order *before, uint32_t *order,
                       uint32_t n) {
  for (uint32_t i = n / 2; i-- > 0;)
    sift_down(items, before, order, i, n);
  for (uint32_t end = n; end-- > 1;) {
    uint32_t t = order[0];
    order[0] = order[end];
    order[end] = t;
    sift_down(items, before, order, 0, end);
  }
}

static bool together(const struct memory_item *a, const struct memory_item *b) {
  return a->first <= b->last && b->first <= a->last;
}

/* The tightest gap that holds `item` among those placed, which are in order of offset. */
static uint64_t best_offset(const struct memory_item *items, const uint32_t *placed, uint32_t n,
                            const struct memory_item *item) {
  uint64_t need = padded(item), end = 0, best = UINT64_MAX, best_gap = UINT64_MAX;
  for (uint32_t i = 0; i < n; i++) {
    const struct memory_item *other = &items[placed[i]];
    if (!together(item, other))
      continue;
    if (other->offset > end) {
      uint64_t gap = other->offset - end;
      if (gap >= need && gap < best_gap) {
        best_gap = gap;
        best = end;
      }
    }
    if (other->offset + padded(other) > end)
      end = other->offset + padded(other);
  }
  return best != UINT64_MAX ? best : end;
}

static void insert_by_offset(const struct memory_item *items, uint32_t *placed, uint32_t n,
                             uint32_t item) {
  uint32_t i = n;
  for (; i > 0 && items[placed[i - 1]].offset > items[item].offset; i--)
    placed[i] = placed[i - 1];
  placed[i] = item;
}

/* The items placed before that live at the same time as one, in order of offset. */
static uint32_t gather_placed(const struct memory_item *items,
                              const struct memory_overlaps *overlaps, const uint8_t *is_placed,
                              uint32_t item, uint32_t *out_near) {
  uint32_t n = 0;
  for (uint32_t i = overlaps->start[item]; i < overlaps->start[item + 1]; i++)
    if (is_placed[overlaps->items[i]])
      insert_by_offset(items, out_near, n++, overlaps->items[i]);
  return n;
}

bool memory_plan_pack(struct memory_item *items, uint32_t n, const struct memory_overlaps *overlaps,
                      uint32_t *scratch, uint64_t *out_bytes) {
  if (!sizes_ok(items, n))
    return false;
  uint32_t *order = scratch, *near = scratch + n;
  uint8_t *is_placed = (uint8_t *)(scratch + 2 * (size_t)n);
  uint32_t count = 0;
  uint64_t total = 0;
  for (uint32_t i = 0; i < n; i++) {
    items[i].offset = 0;
    is_placed[i] = 0;
    if (items[i].bytes)
      order[count++] = i;
  }
  sort_items(items, goes_before, order, count);
  for (uint32_t k = 0; k < count; k++) {
    struct memory_item *item = &items[order[k]];
    uint32_t near_count = overlaps ? gather_placed(items, overlaps, is_placed, order[k], near) : k;
    item->offset = best_offset(items, near, near_count, item);
    is_placed[order[k]] = 1;
    if (!overlaps)
      insert_by_offset(items, near, k, order[k]);
    if (item->offset + padded(item) > total)
      total = item->offset + padded(item);
  }
  *out_bytes = total;
  return true;
}

static bool begins_before(const struct memory_item *items, uint32_t a, uint32_t b) {
  return items[a].first != items[b].first ? items[a].first < items[b].first : a < b;
}

/* The items in order of first use, so that those alive with one follow it until one begins after
 * its end. */
static void order_by_first(const struct memory_item *items, uint32_t n, uint32_t *order) {
  for (uint32_t i = 0; i < n; i++)
    order[i] = i;
  sort_items(items, begins_before, order, n);
}

bool memory_overlaps_count(const struct memory_item *items, uint32_t n, uint32_t limit,
                           uint32_t *scratch, struct memory_overlaps *overlaps) {
  uint64_t total = 0;
  order_by_first(items, n, scratch);
  for (uint32_t i = 0; i <= n; i++)
    overlaps->start[i] = 0;
  for (uint32_t i = 0; i < n; i++)
    for (uint32_t k = i + 1; k < n && items[scratch[k]].first <= items[scratch[i]].last; k++) {
      overlaps->start[scratch[i]]++;
      overlaps->start[scratch[k]]++;
      if ((total += 2) > limit)
        return false;
    }
  /* For now where each item's part ends; filling moves it to where the part begins. */
  for (uint32_t i = 1; i <= n; i++)
    overlaps->start[i] += overlaps->start[i - 1];
  return true;
}

void memory_overlaps_fill(const struct memory_item *items, uint32_t n, uint32_t *scratch,
                          struct memory_overlaps *overlaps) {
  order_by_first(items, n, scratch);
  for (uint32_t i = 0; i < n; i++)
    for (uint32_t k = i + 1; k < n && items[scratch[k]].first <= items[scratch[i]].last; k++) {
      overlaps->items[--overlaps->start[scratch[i]]] = scratch[k];
      overlaps->items[--overlaps->start[scratch[k]]] = scratch[i];
    }
}

bool memory_plan_bound(const struct memory_item *items, uint32_t n, uint64_t *out_bytes) {
  if (!sizes_ok(items, n))
    return false;
  /* The sum only rises where an item begins, so those steps suffice. */
  uint64_t most = 0;
  for (uint32_t i = 0; i < n; i++) {
    uint64_t sum = 0;
    for (uint32_t k = 0; k < n; k++)
      if (items[k].first <= items[i].first && items[i].first <= items[k].last)
        sum += padded(&items[k]);
    if (sum > most)
      most = sum;
  }
  *out_bytes = most;
  return true;
}
