"""What did this audio model hear, and why was it wrong?

The rooms, in the order a clip passes through them: `audio`, `spectrogram`, `patches`, `checkpoints`,
`attention`, `inspection`, `figures`. Import from the room itself; this file imports nothing of weight, so that
`import ast_demo` is free.
"""

import os

# GNU's OpenMP, which PyTorch computes with on Linux, lets a thread that waits for others keep its processor for
# milliseconds. Where others want it, visitors, Spotlight or threads of our own, that makes a clip take up to five times
# as long; this short, it costs nearly nothing when nobody else is there. Read when PyTorch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "5000")
