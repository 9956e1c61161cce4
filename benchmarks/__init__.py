"""Measures what the project promises about speed: `make bench`.

Machines are shared and noisy, so nothing here is a time: a figure is a ratio of two subjects that
took turns in one run (median, minimum, maximum of the pairs), or a count of buffers, which no clock
can disturb. Results: docs/performance/.
"""
