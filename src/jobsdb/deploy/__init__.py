"""`jobsdb migrate`, `bundle`, `status`: the files of sql/ get into a database.

migrate                  what is to be done, in which order
script, transaction      the statements of it; one transaction, tried until the locks are had
preflight, postchecks    what is looked at before, and before COMMIT
ledger                   what a database has
blockers                 who holds the lock that is waited for
plan, rehearsal, locks   --plan and --rehearse: which locks, how long
adoption                 what follows online after COMMIT, on tables of the host
adopt                    --adopt: hand-made tables of an older guide
deployed                 what --json and the last lines say
bundle, folder           files that do it by hand; --supabase
uninstall                the file that undoes it
status                   what a database has and lacks
"""
