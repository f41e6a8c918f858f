"""A Waveform and a Checkpoint to an Inspection."""
