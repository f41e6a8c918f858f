"""What did this audio model hear, and why was it wrong?

The rooms, in the order a clip passes through them: `audio`, `features`, `data`, `runtime`,
`inference`, `models`, `inspection`, `explain`, `figures`, `export`, `evaluation`, `finetuning`, `spotlight`, `ui`. Import from the room itself; this file imports nothing, so that
`import ast_demo` is free.
"""
