"""`finetune plan`: the sizing of a job file, without running it."""
