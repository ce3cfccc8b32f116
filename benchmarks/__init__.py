"""Benchmarks that compare in one run: ratios, since seconds are of one machine."""
