"""Which accelerators a job gets, and how it is split over them: the cheapest plan that fits. Pure."""
