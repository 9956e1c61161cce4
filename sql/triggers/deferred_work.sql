-- bundle 1
-- What a transaction in plain SQL leaves for its own commit. A constraint trigger cannot be
-- replaced.
drop trigger if exists t50_fold_at_commit on jobsdb.job_deltas;

create constraint trigger t50_fold_at_commit
after insert on jobsdb.job_deltas
deferrable initially deferred
for each row
when (new.folds_at_commit)
execute function jobsdb.fold_at_commit();

comment on trigger t50_fold_at_commit on jobsdb.job_deltas is
'Folds a bulk change into its jobs when the transaction commits.';

drop trigger if exists t60_release_at_commit on jobsdb.missed_steps;

create constraint trigger t60_release_at_commit
after insert on jobsdb.missed_steps
deferrable initially deferred
for each row
execute function jobsdb.release_at_commit();

comment on trigger t60_release_at_commit on jobsdb.missed_steps is
'Makes dependents claimable when the transaction that ended their step commits.';
