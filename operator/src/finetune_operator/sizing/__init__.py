"""What a job runs on: the hardware table, the choice from it, and how a batch is split. Pure."""
