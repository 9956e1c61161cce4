"""The command `jobsdb`: deploys sql/ into a database, checks it, loads samples. No business rule.

cli, options, run       the commands; how they end
connect, errors         which database; one sentence and an exit code for what goes wrong
sqlfiles, ledger, wire  the files of sql/; what a database has of them; how they are sent
migrate, transaction, script, preflight, postchecks, adoption, adopt, blockers
plan, rehearsal, locks, deployed
bundle, folder, uninstall  files that do it by hand, and undo it
verify, checks, baseline, behaviour, golden, throwaway; report, formats
status
samples, seed
demo, stage, provider   a campaign of ten days is played and proved
local, pgbin            the embedded PostgreSQL
render                  everything that is drawn
"""

__version__ = "0.1.0"
