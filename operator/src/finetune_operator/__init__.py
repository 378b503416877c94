"""Watches FineTuneJobs, plans what each needs next, and applies it."""
