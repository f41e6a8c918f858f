"""Does a map point at the event that its label names?"""
