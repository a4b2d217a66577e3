"""Makes a plan exist: the only package that creates, changes and deletes what the kernel holds for a lab."""
