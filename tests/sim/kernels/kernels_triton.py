# SPDX-License-Identifier: Apache-2.0
"""Makes triton_*.ptx: python kernels_triton.py FOLDER. No GPU is needed; Triton 3.x is."""
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
def matmul(a, b, c, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    n = tl.program_id(1) * BN + tl.arange(0, BN)
    k = tl.arange(0, BK)
    acc = tl.zeros((BM, BN), tl.float32)
    for s in range(0, K, BK):
        x = tl.load(a + m[:, None] * K + (s + k)[None, :], mask=m[:, None] < M, other=0.0)
        y = tl.load(b + (s + k)[:, None] * N + n[None, :], mask=n[None, :] < N, other=0.0)
        acc = tl.dot(x, y, acc)
    tl.store(c + m[:, None] * N + n[None, :], acc, mask=(m[:, None] < M) & (n[None, :] < N))


def ptx(fn, signature, constants, arch, **options):
    source = ASTSource(fn=fn, signature=signature, constexprs=constants)
    made = triton.compile(source, target=GPUTarget("cuda", arch, 32), options=options)
    print(fn.__name__, arch, made.metadata.shared, made.metadata.num_warps)
    return made.asm["ptx"]


if __name__ == "__main__":
    to = sys.argv[1]
    floats = {"x": "*fp32", "y": "*fp32", "columns": "i32", "stride": "i32", "BLOCK": "constexpr"}
    halves = {"a": "*fp16", "b": "*fp16", "c": "*fp32", "M": "i32", "N": "i32", "K": "i32",
              "BM": "constexpr", "BN": "constexpr", "BK": "constexpr"}
    for name, text in {
        "triton_softmax": ptx(softmax, floats, {"BLOCK": 1024}, 90, num_warps=4),
        "triton_matmul_80": ptx(matmul, halves, {"BM": 64, "BN": 64, "BK": 32}, 80, num_warps=4, num_stages=3),
        "triton_matmul_90": ptx(matmul, halves, {"BM": 64, "BN": 64, "BK": 32}, 90, num_warps=4, num_stages=3),
    }.items():
        with open(f"{to}/{name}.ptx", "w") as f:
            f.write(text.split(".section")[0])
