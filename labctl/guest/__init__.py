"""Throw-away kernels (uml, kvm, tcg) that run this same labctl over the host's own files."""
