// A client of provisionerd's HTTP API. The types are made from its OpenAPI document (make client).

import createFetch, { type Client } from "openapi-fetch";

import type { components, paths } from "./api.js";

export type Schemas = components["schemas"];

/** Return a client of the server at this URL, for the user of the token. */
export function createClient(url: string, token: string): Client<paths> {
  return createFetch<paths>({ baseUrl: url, headers: { "Coder-Session-Token": token } });
}
