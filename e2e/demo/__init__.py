"""The demo: a small model made on the spot, and a FineTuneJob that teaches it what it cannot do.

Nothing is downloaded.
"""
