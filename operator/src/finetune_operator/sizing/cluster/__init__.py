"""What a cluster has: accelerators of its nodes, taken and free, and the quota of its queues. Pure."""
