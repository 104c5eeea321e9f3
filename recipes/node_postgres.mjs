// Enqueue a build with node-postgres.
//
// Usage: node node_postgres.mjs WORKSPACE_ID [--roll-back]; DATABASE_URL names the database.

import pg from "pg";

const ENQUEUE = "SELECT job_id, queue FROM provisionerd.enqueue_build($1::uuid, 'start')";

const client = new pg.Client({ connectionString: process.env.DATABASE_URL });
await client.connect();
try {
  await client.query("BEGIN");
  await client.query("INSERT INTO orders (what) VALUES ('a workspace')"); // a row of your own
  const { rows } = await client.query(ENQUEUE, [process.argv[2]]);
  console.log(rows[0].job_id, rows[0].queue);
  await client.query(process.argv.includes("--roll-back") ? "ROLLBACK" : "COMMIT");
} catch (error) {
  await client.query("ROLLBACK");
  // For machines: the SQLSTATE, and DETAIL in JSON.
  console.error(error.code, error.message, error.detail ?? "");
  process.exitCode = 1;
} finally {
  await client.end();
}
