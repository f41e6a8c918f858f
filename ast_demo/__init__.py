"""What did this audio model hear, and why was it wrong?

The rooms, in the order a clip passes through them: `audio`, `spectrogram`, `patches`, `checkpoints`,
`attention`, `inspection`, `figures`. Import from the room itself; this file imports nothing, so that
`import ast_demo` is free.
"""
