"""Checks, drills and live changes carried out on a lab that is up."""
