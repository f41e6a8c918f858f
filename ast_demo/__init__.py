"""What did this audio model hear, and why was it wrong?

The rooms stand in CONTRIBUTING in the order in which a clip passes through them. Import from the room itself; this file
imports nothing, so that `import ast_demo` is free.
"""
