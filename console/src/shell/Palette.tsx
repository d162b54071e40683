import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { client } from "../api/clients";
import { type Found as FoundName, SearchService } from "../gen/shared/idl/platform/v1/search_pb";
import { rank } from "../model/fuzzy";
import { Dialog } from "../parts/basics";
import { Combobox, type Option } from "../parts/Combobox";
import { PROJECT } from "../routes";
import { type Command, pageCommands } from "./commands";
import { usePreferences } from "./preferences";
import { useThemeToggle } from "./Shell";
import { usePages } from "./session";
import { type Place, placePath, runPath, usePlace } from "./url";

const search = client(SearchService);
const DOMAIN = "development"; // of a project that was found without a place

/** Ctrl-K: pages, whatever has a name, and what one can do on this page. */
export function Palette({ onClose, go }: { onClose: () => void; go: (to: string) => void }) {
  const [query, setQuery] = useState("");
  const { recentPlaces } = usePreferences();
  const here = usePlace() ?? recentPlaces[0];
  const toggleTheme = useThemeToggle();
  const found = useFound(query, here);
  const pages = usePages(here);

  const commands: Command[] = [
    ...pageCommands(),
    { name: "Change the theme", run: toggleTheme },
    ...pages.map((page) => ({
      name: `Go to ${page.title}`,
      run: () => go(fill(page.path, here)),
    })),
  ];
  const options: Option[] = [
    ...rank(query, commands, (each) => each.name, query === "" ? 20 : 8).map((each) => ({
      id: `command ${each.name}`,
      label: each.name,
      group: each.keys,
      run: () => {
        onClose();
        each.run();
      },
    })),
    ...found.map((each) => ({ ...each, run: () => go(each.to) })),
  ];
  return (
    <Dialog title="Go to anything" className="palette" onClose={onClose}>
      <Combobox
        label="Go to anything"
        placeholder="A run, a task, a trigger, a cluster, a page, or something to do"
        query={query}
        onQuery={setQuery}
        options={options}
      />
    </Dialog>
  );
}

function fill(path: string, place: Place | undefined): string {
  if (!path.startsWith(PROJECT)) return path;
  return placePath(
    place ?? { project: "flytesnacks", domain: DOMAIN },
    path.slice(PROJECT.length + 1),
  );
}

type Found = { id: string; label: string; group: string; to: string };

/** Asks the server for names, a moment after the last key. */
function useFound(query: string, place: Place | undefined): Found[] {
  const [settled, setSettled] = useState(query);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(query.trim()), 150);
    return () => clearTimeout(timer);
  }, [query]);
  const answer = useQuery({
    queryKey: ["find", place, settled],
    enabled: settled !== "",
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }): Promise<Found[]> => {
      const at = place ?? { project: "", domain: "" };
      const answer = await search.find({ ...at, text: settled, limit: 8 }, { signal });
      return answer.found.map((each) => ({
        id: `${each.kind} ${each.project} ${each.task} ${each.name}`,
        label: each.title && each.title !== each.name ? `${each.name} (${each.title})` : each.name,
        group: each.kind,
        to: pathOf(each, at.domain),
      }));
    },
  });
  return settled === "" ? [] : (answer.data ?? []);
}

function pathOf(found: FoundName, domain: string): string {
  const at = { project: found.project, domain: found.domain };
  const name = encodeURIComponent(found.name);
  switch (found.kind) {
    case "run":
      return runPath(at, found.name);
    case "task":
      return placePath(at, `tasks/${name}`);
    case "trigger":
      return placePath(at, `triggers/${encodeURIComponent(found.task)}/${name}`);
    case "cluster":
      return `/v2/admin/clusters/${name}`;
    default:
      return placePath({ project: found.name, domain: domain || DOMAIN });
  }
}
