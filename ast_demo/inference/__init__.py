"""AST's forward pass, with the attention that rollout needs."""
