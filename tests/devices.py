"""Devices to test with."""

from __future__ import annotations

from ast_demo.runtime import Device

# What a GPU computes, on the processor: its route through the program, and its kernels as the processor has them.
GPU_ON_CPU = Device("cpu", "as a GPU", is_gpu=True, bfloat16=True)
