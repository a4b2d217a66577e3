"""What is written: YAML text to typed documents, with every fault located, all in one pass."""
