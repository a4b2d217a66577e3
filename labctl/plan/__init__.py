"""What must exist in the kernel: objects, compiled from the model, compared, rendered."""
