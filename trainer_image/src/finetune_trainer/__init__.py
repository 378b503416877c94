"""The program in the training pod: reads one `TrainerConfig`, trains, and leaves a verified result or a clear failure."""
