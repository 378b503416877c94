"""The whole decision about a job, pure: one file per policy."""
