"""The command `jobsdb`: deploys sql/ into a database, checks it, loads samples. No business rule.

cli, options, run         the command line; how it ends
commands/                 the commands: options and help
deploy/                   migrate, --plan, --rehearse, --adopt, bundle, status
check/                    verify, doctor
campaigns/                seed, demo, work
watching/                 watch, report
learn/                    explain, docs
connect, errors           which database; one sentence and an exit code for what goes wrong
sqlfiles, wire            the files of sql/; how they are sent
local, pgbin, postmaster  the embedded PostgreSQL
render                    everything that is drawn, but for the moving frame
"""

__version__ = "0.1.0"
