"""Any recording to a Waveform."""
