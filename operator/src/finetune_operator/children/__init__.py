"""Builders of what a job consists of, pure: one file per kind."""
