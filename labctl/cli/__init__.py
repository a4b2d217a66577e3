"""Arguments to lab to report to exit code."""
