const ONE_WORD = new Set(["deploy", "rerun", "run"]);

/** A `flyte` command for this control plane, to copy into a terminal. */
export function flyteCommand(command: string, place?: { project: string; domain: string }): string {
  const insecure = location.protocol === "http:" ? " --insecure" : "";
  const words = command.split(" ");
  const verb = words.splice(0, ONE_WORD.has(words[0] ?? "") ? 1 : 2).join(" ");
  const where = [
    place?.project ? ` --project ${place.project}` : "",
    place?.domain ? ` --domain ${place.domain}` : "",
  ].join("");
  return `flyte --endpoint ${location.host}${insecure} ${verb}${where} ${words.join(" ")}`.trim();
}
