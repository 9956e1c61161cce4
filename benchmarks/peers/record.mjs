// Lets graphile-worker or pg-boss install itself into the database of PGHOST, PGUSER, PGDATABASE,
// then add, hand out and finish 1 and 100 jobs with its own code, and prints the last statement it
// sent for each as JSON: {"add 1": {"text": …, "values": […]}, "claim 1": …, "finish 1": …}.
// Runs in the folder the packages were installed into:
//   node record.mjs graphile-worker | pg-boss
import path from "node:path";
import pg from "pg";

const QUEUE = "bench";
const PAYLOAD = { target_id: "x" };
const WORKER = "worker %worker%"; // the harness puts each worker's number in

let sent;
const query = pg.Client.prototype.query;
pg.Client.prototype.query = function (text, values, ...rest) {
  const given = typeof text === "string" ? { text, values } : text;
  sent = { text: given.text, values: given.values ?? [] };
  return query.call(this, text, values, ...rest);
};

async function graphileWorker() {
  const { makeWorkerUtils } = await import("graphile-worker");
  const part = (name) => import(path.resolve("node_modules/graphile-worker/dist", name));
  const { batchGetJobs } = await part("sql/getJobs.js");
  const { batchCompleteJobs } = await part("sql/completeJobs.js");
  const { getUtilsAndReleasersFromOptions } = await part("lib.js");
  const options = { connectionString: "postgresql:///" };
  const [compiled, release] = await getUtilsAndReleasersFromOptions(options);
  const utils = await makeWorkerUtils(options);
  await utils.migrate();
  return {
    add: (jobs) => jobs === 1
      ? utils.addJob(QUEUE, PAYLOAD)
      : utils.addJobs(Array(jobs).fill({ identifier: QUEUE, payload: PAYLOAD })),
    claim: (jobs) => batchGetJobs(compiled, compiled.withPgClient, { [QUEUE]: null }, WORKER, null, jobs),
    finish: (jobs) => batchCompleteJobs(compiled, compiled.withPgClient, WORKER, jobs),
    stop: async () => { await utils.release(); await release(); },
  };
}

async function pgBoss() {
  const { PgBoss } = await import("pg-boss");
  const boss = new PgBoss({ supervise: false, schedule: false });
  await boss.start();
  await boss.createQueue(QUEUE);
  return {
    add: (jobs) => jobs === 1
      ? boss.send(QUEUE, PAYLOAD)
      : boss.insert(QUEUE, Array(jobs).fill({ data: PAYLOAD })),
    claim: (jobs) => boss.fetch(QUEUE, { batchSize: jobs }),
    finish: (jobs) => boss.complete(QUEUE, jobs.map((job) => job.id)),
    stop: async () => { await boss.deleteAllJobs(QUEUE); await boss.stop(); },
  };
}

const peer = await { "graphile-worker": graphileWorker, "pg-boss": pgBoss }[process.argv[2]]();
const seen = {};
for (const jobs of [1, 100]) {
  await peer.add(jobs);
  seen[`add ${jobs}`] = sent;
  const claimed = await peer.claim(jobs);
  seen[`claim ${jobs}`] = sent;
  await peer.finish(claimed);
  const ids = JSON.stringify(claimed.map((job) => job.id));
  const values = sent.values.map((value) =>
    JSON.stringify(value) === ids ? "%ids%" : value === claimed[0].id ? "%id%" : value);
  seen[`finish ${jobs}`] = { text: sent.text, values };
}
await peer.stop();
console.log(JSON.stringify(seen));
