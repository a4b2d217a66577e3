"""Programs that run inside a lab's namespaces, and the supervisor that keeps them."""
