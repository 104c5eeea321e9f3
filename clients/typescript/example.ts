// Start a workspace, wait for the build, and show its log.
//
// Usage: example.js TEMPLATE NAME
//
// PROVISIONERD_URL names the server; PROVISIONERD_TOKEN is what `provisionerd token create` printed.
// The exit status is 0 when the build succeeded, 3 when the quota refused it, and 1 otherwise.

import { setTimeout } from "node:timers/promises";

import { createClient, type Schemas } from "./index.js";

const { PROVISIONERD_URL = "", PROVISIONERD_TOKEN = "", POLL_S = "2" } = process.env;
const [template = "", name = ""] = process.argv.slice(2);
const ENDED = new Set<Schemas["JobStatus"]>(["succeeded", "failed", "canceled"]);
const client = createClient(PROVISIONERD_URL, PROVISIONERD_TOKEN);

/** Return the data of an answer; an error ends the program with its message. */
function ok<T>(answer: { data?: T; error?: Schemas["Message"] }): T {
  if (answer.data === undefined) throw new Error(answer.error?.message ?? "no answer");
  return answer.data;
}

/** Start the caller's workspace of that name; create it if there is none. */
async function start(): Promise<Schemas["WorkspaceBuild"]> {
  const query = { q: `owner:me name:${name}` };
  const { workspaces } = ok(await client.GET("/api/v2/workspaces", { params: { query } }));
  const found = workspaces.find((one) => one.name === name);
  if (found) {
    const params = { path: { workspace: found.id } };
    const body = { transition: "start" as const };
    return ok(await client.POST("/api/v2/workspaces/{workspace}/builds", { params, body }));
  }
  const templates = ok(await client.GET("/api/v2/templates"));
  const chosen = templates.find((one) => one.name === template);
  if (!chosen) throw new Error(`there is no template ${template}`);
  const params = { path: { user: "me" } };
  const body = { name, template_id: chosen.id };
  return ok(await client.POST("/api/v2/users/{user}/workspaces", { params, body })).latest_build;
}

async function main(): Promise<number> {
  const me = ok(await client.GET("/api/v2/users/{user}", { params: { path: { user: "me" } } }));
  console.log(`logged in as ${me.username}`);
  let build = await start();
  const params = { path: { build: build.id } };
  while (!ENDED.has(build.job.status)) {
    await setTimeout(Number(POLL_S) * 1000);
    build = ok(await client.GET("/api/v2/workspacebuilds/{build}", { params }));
  }
  for (const line of ok(await client.GET("/api/v2/workspacebuilds/{build}/logs", { params }))) {
    console.log(`[${line.stage}] ${line.output}`);
  }
  if (build.job.status === "succeeded") {
    console.log(`${build.workspace_name} costs ${build.daily_cost} credits per day`);
    return 0;
  }
  console.error(build.job.error);
  return build.job.error_code === "INSUFFICIENT_QUOTA" ? 3 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
