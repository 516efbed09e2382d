# SPDX-License-Identifier: Apache-2.0
"""Makes numba_*.ptx: CUDA_HOME=... python kernels_numba.py FOLDER. No GPU is needed."""
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


if __name__ == "__main__":
    for name, fn, types in (("blur", blur, (float32[::1], float32[::1])),
                            ("histogram", histogram, (int32[::1], int32[::1]))):
        text, _ = cuda.compile_ptx(fn, types, cc=(9, 0))
        with open(f"{sys.argv[1]}/numba_{name}.ptx", "w") as f:
            f.write(text)
