import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { runs } from "../api/clients";
import { tasks } from "../api/tasks";
import { Filter_Function } from "../gen/flyteidl2/common/list_pb";
import { rank } from "../model/fuzzy";
import { Dialog, Phase } from "../parts/basics";
import { Combobox, type Option } from "../parts/Combobox";
import { PROJECT } from "../routes";
import { type Command, pageCommands } from "./commands";
import { usePreferences } from "./preferences";
import { useThemeToggle } from "./Shell";
import { usePages } from "./session";
import { type Place, placePath, runPath, usePlace } from "./url";

/** Ctrl-K: pages, runs and tasks by name, and what one can do on this page. */
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
        placeholder="A run, a task, a page, or something to do"
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
    place ?? { project: "flytesnacks", domain: "development" },
    path.slice(PROJECT.length + 1),
  );
}

type Found = { id: string; label: React.ReactNode; group: string; to: string };

/** Asks the server for names, a moment after the last key. */
function useFound(query: string, place: Place | undefined): Found[] {
  const [settled, setSettled] = useState(query);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(query.trim()), 150);
    return () => clearTimeout(timer);
  }, [query]);
  const answer = useQuery({
    queryKey: ["find", place, settled],
    enabled: settled !== "" && place !== undefined,
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }): Promise<Found[]> => {
      if (place === undefined) return [];
      const filter = { function: Filter_Function.CONTAINS_CASE_INSENSITIVE, values: [settled] };
      const scopeBy = {
        case: "projectId" as const,
        value: { name: place.project, domain: place.domain, organization: "" },
      };
      const [foundRuns, foundTasks] = await Promise.all([
        runs.listRuns(
          { request: { limit: 8, filters: [{ ...filter, field: "run_name" }] }, scopeBy },
          { signal },
        ),
        tasks.listTasks(
          { request: { limit: 8, filters: [{ ...filter, field: "name" }] }, scopeBy },
          { signal },
        ),
      ]);
      return [
        ...foundRuns.runs.map((run) => {
          const name = run.action?.id?.run?.name ?? "";
          return {
            id: `run ${name}`,
            label: (
              <>
                <Phase phase={run.action?.status?.phase ?? 0} bare /> {name}
              </>
            ),
            group: "run",
            to: runPath(place, name),
          };
        }),
        ...foundTasks.tasks.map((task) => ({
          id: `task ${task.taskId?.name}`,
          label: task.taskId?.name ?? "",
          group: "task",
          to: placePath(place, `tasks/${encodeURIComponent(task.taskId?.name ?? "")}`),
        })),
      ];
    },
  });
  return settled === "" ? [] : (answer.data ?? []);
}
