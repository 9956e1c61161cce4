"""`jobsdb watch` and `jobsdb report`: campaigns while they run, and afterwards.

watch            the loop: look, show, wait, end
reading, follow  what one look reads; which events are new to it
lines, frame     drawn as lines for a pipe, as a moving frame on a terminal
page             what report writes
"""
