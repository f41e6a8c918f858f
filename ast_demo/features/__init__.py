"""A Waveform to what the model is fed; all geometry and all units."""
