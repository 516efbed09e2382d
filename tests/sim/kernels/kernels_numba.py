# SPDX-License-Identifier: Apache-2.0
"""Makes numba_*.ptx: CUDA_HOME=... python kernels_numba.py FOLDER. No GPU is needed."""
import math
import re
import sys

from numba import cuda, float32, int32


def blur(x, y):
    tile = cuda.shared.array(130, float32)
    i, t = cuda.grid(1), cuda.threadIdx.x
    n = x.shape[0]
    tile[t + 1] = x[i] if i < n else 0.0
    if t == 0:
        tile[0] = x[i - 1] if 0 < i <= n else 0.0
    if t == 127:
        tile[129] = x[i + 1] if i + 1 < n else 0.0
    cuda.syncthreads()
    if i < n:
        y[i] = (tile[t] + 2 * tile[t + 1] + tile[t + 2]) / 4


def histogram(x, counts):
    i = cuda.grid(1)
    if i < x.shape[0]:
        cuda.atomic.add(counts, x[i] % counts.shape[0], 1)


def total(x, out):
    """Lanes by shuffles, warps by shared memory, blocks by an atomic."""
    part = cuda.shared.array(4, float32)
    t = cuda.threadIdx.x
    v = float32(0)
    for i in range(cuda.grid(1), x.shape[0], cuda.gridsize(1)):
        v += x[i]
    for apart in (16, 8, 4, 2, 1):
        v += cuda.shfl_down_sync(0xFFFFFFFF, v, apart)
    if t % 32 == 0:
        part[t // 32] = v
    cuda.syncthreads()
    if t == 0:
        cuda.atomic.add(out, 0, part[0] + part[1] + part[2] + part[3])


def product(a, b, c):
    """Tiles of 8 x 8 in shared memory; any sizes."""
    left, right = cuda.shared.array((8, 8), float32), cuda.shared.array((8, 8), float32)
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    row, column = cuda.blockIdx.y * 8 + y, cuda.blockIdx.x * 8 + x
    s = float32(0)
    for k in range(0, a.shape[1], 8):
        left[y, x] = a[row, k + x] if row < a.shape[0] and k + x < a.shape[1] else 0.0
        right[y, x] = b[k + y, column] if k + y < b.shape[0] and column < b.shape[1] else 0.0
        cuda.syncthreads()
        for j in range(8):
            s += left[y, j] * right[j, x]
        cuda.syncthreads()
    if row < c.shape[0] and column < c.shape[1]:
        c[row, column] = s


def functions(x, y):
    i = cuda.grid(1)
    if i < x.shape[0]:
        v = x[i]
        y[i] = math.sin(v) * math.exp(-v * v) + math.atan2(v, 2.0) + math.pow(abs(v), 0.3) + math.erf(v)


VECTOR, MATRIX, INTEGERS = float32[::1], float32[:, ::1], int32[::1]
KERNELS = ((blur, (VECTOR, VECTOR)), (histogram, (INTEGERS, INTEGERS)), (total, (VECTOR, VECTOR)),
           (product, (MATRIX, MATRIX, MATRIX)), (functions, (VECTOR, VECTOR)))

if __name__ == "__main__":
    for fn, types in KERNELS:
        text, _ = cuda.compile_ptx(fn, types, cc=(9, 0))
        text = text.replace(re.search(r"\.entry (\w+)", text)[1], fn.__name__)
        text = re.sub(r"\.version .*", ".version 9.0", text)  # compilers may be newer than a driver
        lines = [l for l in text.split("\n") if l.strip() and not re.match(r"\s*(//|\.loc\b|\.file\b)", l)]
        with open(f"{sys.argv[1]}/numba_{fn.__name__}.ptx", "w") as f:
            f.write("\n".join(lines) + "\n")
