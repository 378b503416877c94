"""What may be worth changing in a job, each rule with its reason. Never a refusal. Pure."""
