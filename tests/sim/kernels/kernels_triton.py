# SPDX-License-Identifier: Apache-2.0
"""Makes triton_*.ptx: python kernels_triton.py FOLDER. No GPU is needed; Triton 3.x is."""
import re
import sys

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource


@triton.jit
def softmax(x, y, columns, stride, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    inside = at < columns
    v = tl.load(x + row * stride + at, mask=inside, other=-float("inf"))
    e = tl.exp(v - tl.max(v, axis=0))
    tl.store(y + row * stride + at, e / tl.sum(e, axis=0), mask=inside)


@triton.jit
def layernorm(x, w, b, y, columns, epsilon, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    inside = at < columns
    v = tl.load(x + row * columns + at, mask=inside, other=0.0)
    mean = tl.sum(v, 0) / columns
    d = tl.where(inside, v - mean, 0.0)
    r = d * tl.rsqrt(tl.sum(d * d, 0) / columns + epsilon)
    y_row = r * tl.load(w + at, mask=inside) + tl.load(b + at, mask=inside)
    tl.store(y + row * columns + at, y_row, mask=inside)


@triton.jit
def atomics(x, total, bins, words, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    v = tl.load(x + at, mask=inside, other=0)
    tl.atomic_add(bins + v % 16, 1, mask=inside)
    tl.atomic_max(words + at * 0, v, mask=inside)
    tl.atomic_add(total + at * 0, v.to(tl.float32), mask=inside)
    place = tl.atomic_add(words + 1, 1)
    tl.atomic_or(words + 2, 1 << place)
    while tl.atomic_cas(words + 3, 0, 1) == 1:  # a lock
        pass
    tl.store(words + 4, tl.load(words + 4) + place)
    tl.atomic_xchg(words + 3, 0)


@triton.jit
def scans(x, sums, ordered, found, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    v = tl.load(x + at)
    tl.store(sums + at, tl.cumsum(v, 0))
    tl.store(ordered + at, tl.sort(v))
    tl.store(found + tl.arange(0, 16), tl.histogram(v.to(tl.int32) % 16, 16))
    tl.store(found + 16, tl.argmax(v, 0))


@triton.jit
def matmul(a, b, c, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    n = tl.program_id(1) * BN + tl.arange(0, BN)
    k = tl.arange(0, BK)
    acc = tl.zeros((BM, BN), c.dtype.element_ty)
    for s in range(0, K, BK):
        x = tl.load(a + m[:, None] * K + (s + k)[None, :], mask=m[:, None] < M, other=0.0)
        y = tl.load(b + (s + k)[:, None] * N + n[None, :], mask=n[None, :] < N, other=0.0)
        acc = tl.dot(x, y, acc, out_dtype=c.dtype.element_ty)
    tl.store(c + m[:, None] * N + n[None, :], acc, mask=(m[:, None] < M) & (n[None, :] < N))


@triton.jit
def tensor_matmul(a, b, c, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    """Tensor maps that the kernel makes itself, warps that copy beside warps that multiply."""
    A = tl.make_tensor_descriptor(a, [M, K], [K, 1], [BM, BK])
    B = tl.make_tensor_descriptor(b, [N, K], [K, 1], [BN, BK])
    C = tl.make_tensor_descriptor(c, [M, N], [N, 1], [BM, BN])
    high = tl.cdiv(M, BM)
    for tile in tl.range(tl.program_id(0), high * tl.cdiv(N, BN), tl.num_programs(0), warp_specialize=True):
        m = tile % high * BM
        n = tile // high * BN
        acc = tl.zeros((BM, BN), tl.float32)
        for k in range(0, K, BK):
            acc = tl.dot(A.load([m, k]), B.load([n, k]).T, acc)
        C.store([m, n], acc.to(tl.bfloat16))


@triton.jit
def attention(q, k, v, o, S, scale, D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr):
    """Causal, with the running maximum and sum of each row; scale holds log2(e)."""
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    d = tl.arange(0, D)
    base = tl.program_id(1) * S * D
    Q = tl.load(q + base + m[:, None] * D + d[None, :], mask=m[:, None] < S, other=0.0)
    acc = tl.zeros((BM, D), tl.float32)
    most = tl.full((BM,), -float("inf"), tl.float32)
    sums = tl.zeros((BM,), tl.float32)
    for s in range(0, (tl.program_id(0) + 1) * BM, BN):
        n = s + tl.arange(0, BN)
        K = tl.load(k + base + n[None, :] * D + d[:, None], mask=n[None, :] < S, other=0.0)
        t = tl.where(m[:, None] >= n[None, :], tl.dot(Q, K) * scale, -float("inf"))
        new = tl.maximum(most, tl.max(t, 1))
        p = tl.exp2(t - new[:, None])
        keep = tl.exp2(most - new)
        sums = sums * keep + tl.sum(p, 1)
        V = tl.load(v + base + n[:, None] * D + d[None, :], mask=n[:, None] < S, other=0.0)
        acc = tl.dot(p.to(V.dtype), V, acc * keep[:, None])
        most = new
    tl.store(o + base + m[:, None] * D + d[None, :], acc / sums[:, None], mask=m[:, None] < S)


def ptx(fn, types, constants, arch, **options):
    """`types` of the arguments in order; what is constant comes last."""
    names = [n for n in fn.arg_names if n not in constants]
    signature = dict(zip(names, types.split())) | {n: "constexpr" for n in constants}
    source = ASTSource(fn=fn, signature=signature, constexprs=constants)
    made = triton.compile(source, target=GPUTarget("cuda", arch, 32), options={"num_warps": 4} | options)
    scratch = getattr(made.metadata, "global_scratch_size", 0)
    print(fn.__name__, arch, "shared", made.metadata.shared, "scratch", scratch)
    text = re.split(r"\s\.section", made.asm["ptx"])[0]
    return "\n".join(l for l in text.split("\n") if l.strip() and not re.match(r"\s*(//|\.loc\b|\.file\b)", l)) + "\n"


TILE = {"BM": 64, "BN": 64, "BK": 32}
KERNELS = {
    "softmax": (softmax, "*fp32 *fp32 i32 i32", {"BLOCK": 1024}, 90),
    "layernorm": (layernorm, "*fp32 *fp32 *fp32 *fp32 i32 fp32", {"BLOCK": 1024}, 80),
    "atomics": (atomics, "*i32 *fp32 *i32 *i32 i32", {"BLOCK": 256}, 80),
    "scans": (scans, "*fp32 *fp32 *fp32 *i32", {"BLOCK": 256}, 80),
    "matmul_80": (matmul, "*fp16 *fp16 *fp32 i32 i32 i32", TILE, 80),
    "matmul_90": (matmul, "*fp16 *fp16 *fp32 i32 i32 i32", TILE, 90),
    "matmul_half": (matmul, "*fp16 *fp16 *fp16 i32 i32 i32", TILE, 90),
    "matmul_s8": (matmul, "*i8 *i8 *i32 i32 i32 i32", TILE, 80),
    "tensor_matmul": (tensor_matmul, "*bf16 *bf16 *bf16 i32 i32 i32", {"BM": 64, "BN": 32, "BK": 64}, 90),
    "attention_80": (attention, "*fp16 *fp16 *fp16 *fp32 i32 fp32", {"D": 32, "BM": 64, "BN": 32}, 80),
    "attention_90": (attention, "*fp16 *fp16 *fp16 *fp32 i32 fp32", {"D": 32, "BM": 64, "BN": 32}, 90),
}

if __name__ == "__main__":
    for name, (fn, types, constants, arch) in KERNELS.items():
        with open(f"{sys.argv[1]}/triton_{name}.ptx", "w") as f:
            f.write(ptx(fn, types, constants, arch, num_stages=3 if "mul" in name else 2))
