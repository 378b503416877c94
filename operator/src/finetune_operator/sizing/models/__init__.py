"""The shapes of models: read from config.json, from the built-in catalogue, or given in the job. Pure."""
