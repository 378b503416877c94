"""The program in the training pod: reads a `TrainerConfig`, trains, leaves a verified result or a clear failure."""
