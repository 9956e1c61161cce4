"""`jobsdb seed`, `demo` and `work`: campaigns to look at.

samples, seed, step    sample campaigns as data; their clock
own                    a developer's own contacts and parameters
overview               what was loaded
demo, stage, provider  a campaign of ten days is played and proved
work                   the shortest worker
"""
