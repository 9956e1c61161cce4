"""The command `jobsdb`: deploys sql/ into a database, checks it, loads samples. No business rule.

cli, options, run       the commands; how they end
connect, errors         which database; one sentence and an exit code for what goes wrong
sqlfiles, ledger, wire  the files of sql/; what a database has of them; how they are sent
migrate, transaction, script, preflight, postchecks, adoption, adopt, blockers
plan, rehearsal, locks, deployed
bundle, folder, uninstall  files that do it by hand, and undo it
verify, checks, baseline, behaviour, golden, throwaway; findings, formats draw
doctor                  what surrounds jobsdb
status; watch, reading, follow, lines, frame; page is what report writes
samples, seed, own, step, overview
demo, stage, provider   a campaign of ten days is played and proved
work                    the shortest worker
catalog, explain        what the database says of itself
docs, pages, lists, examples, pictures  the reference
local, pgbin            the embedded PostgreSQL
render                  everything that is drawn, but for the moving frame
"""

__version__ = "0.1.0"
