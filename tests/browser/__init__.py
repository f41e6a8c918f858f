"""The page, driven in a real Chromium as a visitor would."""
