"""What only making a small AST from scratch needs, put into the parts of a fine-tuning."""
