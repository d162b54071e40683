import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { read, type Schema, type Search, type Values, write } from "../model/url";

/** The parameters of a page's path, decoded. */
export function usePath<Names extends string>(): Record<Names, string> {
  return useParams({ strict: false }) as Record<Names, string>;
}

/** What a page's URL says by its schema, and how to change it. */
export type UrlState<S extends Schema> = {
  values: Values<S>;
  wrong: string[];
  /** Changes the URL. Selection replaces the entry of the history; filters and tabs push one. */
  set: (changes: Partial<Values<S>>, how?: "push" | "replace") => void;
};

export function useUrl<S extends Schema>(schema: S): UrlState<S> {
  const search = useSearch({ strict: false }) as Search;
  const navigate = useNavigate();
  const { values, wrong } = read(schema, search);
  return {
    values,
    wrong,
    set: (changes, how = "push") => {
      void navigate({
        to: ".",
        search: ((now: Search) => write(schema, now, changes)) as never,
        replace: how === "replace",
        resetScroll: false,
      });
    },
  };
}

export type Place = { project: string; domain: string };

/** The project and domain of the URL; undefined on pages of the org. */
export function usePlace(): Place | undefined {
  const { project, domain } = useParams({ strict: false }) as Partial<Place>;
  return project && domain ? { project, domain } : undefined;
}

export function placePath(place: Place, rest = "runs"): string {
  const { domain, project } = place;
  return `/v2/domain/${encodeURIComponent(domain)}/project/${encodeURIComponent(project)}/${rest}`;
}

export function runPath(place: Place, run: string, query = ""): string {
  return placePath(place, `runs/${encodeURIComponent(run)}${query}`);
}
