"""Verdicts and plans to text and JSON."""
