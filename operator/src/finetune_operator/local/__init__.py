"""Runs a FineTuneJob on this machine, by the same contract, defaults and retries as in a cluster."""
