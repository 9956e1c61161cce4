"""The commands of `jobsdb`: options and help. What they do stands in the folders beside this one,
which are imported when they are needed, so that `jobsdb --help` answers at once.
"""
