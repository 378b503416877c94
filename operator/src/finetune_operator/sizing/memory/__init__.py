"""The memory that one accelerator needs: one named term per function, in bytes. Pure."""
