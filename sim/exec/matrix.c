/* SPDX-License-Identifier: Apache-2.0 */
/* ldmatrix, stmatrix, movmatrix: 8 x 8 matrices of 16-bit elements between lanes and memory.
 * Element (row, column) lies in lane 4 * row + column / 2. */
#include "sim/exec/decode.h"

static uint16_t piece(uint32_t word, uint32_t k) { return (uint16_t)(word >> 16 * k); }

static void ldmatrix(struct warp *w, const struct inst *i, uint32_t mask) {
  uint32_t n = i->writes;
  (void)mask;
  for (uint32_t m = 0; m < n; m++) {
    uint16_t e[8][8];
    uint32_t *d = lanes(w, &i->op[m]);
    for (uint32_t r = 0; r < 8; r++) {
      uint32_t lane = 8 * m + r;
      const uint8_t *p =
          resolve(w, i, lane, lane_get(w, &i->op[n], lane) + (uint64_t)i->imm, 16, ACCESS_READ);
      if (!p)
        return;
      memcpy(e[r], p, 16);
    }
    for (uint32_t l = 0; l < 32; l++) {
      uint32_t a = l / 4, b = 2 * (l % 4);
      d[l] = i->operation ? (uint32_t)e[b + 1][a] << 16 | e[b][a]
                          : (uint32_t)e[a][b + 1] << 16 | e[a][b];
    }
  }
}
static bool matrices(const struct binding *b, uint32_t n) {
  return b->type_count == 1 && b->types[0] == TYPE_b16 && has(b, MOD_m8n8) &&
         n == (has(b, MOD_x4)   ? 4u
               : has(b, MOD_x2) ? 2u
                                : 1u);
}
exec_fn bind_ldmatrix(struct binding *b) {
  struct inst *i = b->inst;
  i->flow = FLOW_JOIN;
  i->operation = has(b, MOD_trans);
  for (uint32_t k = 0; k < i->writes; k++)
    if (i->op[k].width != 4)
      return NULL;
  return matrices(b, i->writes) ? ldmatrix : NULL;
}

static void stmatrix(struct warp *w, const struct inst *i, uint32_t mask) {
  uint32_t n = i->count - 1u;
  (void)mask;
  for (uint32_t m = 0; m < n; m++) {
    uint16_t e[8][8];
    const uint32_t *s = lanes(w, &i->op[m + 1]);
    for (uint32_t l = 0; l < 32; l++)
      for (uint32_t k = 0; k < 2; k++) {
        uint32_t a = l / 4, b = 2 * (l % 4) + k;
        *(i->operation ? &e[b][a] : &e[a][b]) = piece(s[l], k);
      }
    for (uint32_t r = 0; r < 8; r++) {
      uint32_t lane = 8 * m + r;
      uint8_t *p =
          resolve(w, i, lane, lane_get(w, &i->op[0], lane) + (uint64_t)i->imm, 16, ACCESS_WRITE);
      if (!p)
        return;
      memcpy(p, e[r], 16);
    }
  }
}
exec_fn bind_stmatrix(struct binding *b) {
  struct inst *i = b->inst;
  i->flow = FLOW_JOIN;
  i->operation = has(b, MOD_trans);
  for (uint32_t k = 1; k < i->count; k++)
    if (i->op[k].width != 4)
      return NULL;
  return i->count >= 2 && matrices(b, i->count - 1u) ? stmatrix : NULL;
}

static void movmatrix(struct warp *w, const struct inst *i, uint32_t mask) {
  uint32_t *d = lanes(w, &i->op[0]), in[32];
  (void)mask;
  memcpy(in, lanes(w, &i->op[1]), sizeof in);
  for (uint32_t l = 0; l < 32; l++) {
    uint32_t word = 0;
    for (uint32_t k = 0; k < 2; k++) {
      uint32_t row = 2 * (l % 4) + k, column = l / 4; /* of the source */
      word |= (uint32_t)piece(in[4 * row + column / 2], column % 2) << 16 * k;
    }
    d[l] = word;
  }
}
exec_fn bind_movmatrix(struct binding *b) {
  b->inst->flow = FLOW_JOIN;
  return b->type_count == 1 && b->types[0] == TYPE_b16 && has(b, MOD_trans) ? movmatrix : NULL;
}
