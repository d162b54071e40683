/**
 * The lines that let the `flyte` command use a key. Keys name a host but no port: a server on another
 * port than 443 has to be named besides.
 */
export function keyCommands(key: string, server: { host: string; port: string }): string {
  const use = `export FLYTE_API_KEY=${key}`;
  return server.port === "" ? use : `${use}\nflyte --endpoint ${server.host} get project`;
}
