"""The only room that needs torch: one loop; from scratch, full and LoRA."""

import os

# Whoever loads torch reads these once, so they are here, before any module of this room does.
# Threads that spin while they wait make a busy machine many times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Deterministic kernels on CUDA need it before its first use.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
