"""What runs the work, and nothing of what it is about."""

from __future__ import annotations

from ast_demo.runtime.devices import (
    CPU,
    Device,
    choose_device,
    has_bfloat16,
    has_matrix_unit,
    is_out_of_memory,
    release_memory,
    supports_bfloat16,
)
from ast_demo.runtime.memory import keep_small
from ast_demo.runtime.prefetch import read_ahead
from ast_demo.runtime.progress import Progress, Tell, measure_progress, tell_now_and_then
from ast_demo.runtime.threads import map_in_threads, share_out, slices
from ast_demo.runtime.turns import take_turns
from ast_demo.runtime.visitor_files import UPLOADS, VIEWERS, NoRoomError, Room, visitors_folder
from ast_demo.runtime.zero_gpu import device_of_call, is_lent, on_gpu

__all__ = [
    "CPU",
    "UPLOADS",
    "VIEWERS",
    "Device",
    "NoRoomError",
    "Progress",
    "Room",
    "Tell",
    "choose_device",
    "device_of_call",
    "has_bfloat16",
    "has_matrix_unit",
    "is_lent",
    "is_out_of_memory",
    "keep_small",
    "map_in_threads",
    "measure_progress",
    "on_gpu",
    "read_ahead",
    "release_memory",
    "share_out",
    "slices",
    "supports_bfloat16",
    "take_turns",
    "tell_now_and_then",
    "visitors_folder",
]
