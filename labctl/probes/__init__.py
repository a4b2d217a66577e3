"""Is it true? Expectations and verdicts are pure; the prober and its captures are scapy's one home."""
