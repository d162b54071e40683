import { useNavigate, useRouterState } from "@tanstack/react-router";
import { useState } from "react";
import { rank } from "../model/fuzzy";
import { Dialog } from "../parts/basics";
import { Combobox } from "../parts/Combobox";
import { usePreferences } from "./preferences";
import { useProjects } from "./session";
import { type Place, placePath } from "./url";

/** Project and domain in one field: recent ones first, others by typing. */
export function PlaceDialog({ onClose }: { onClose: () => void }) {
  const [query, setQuery] = useState("");
  const projects = useProjects();
  const { recentPlaces } = usePreferences();
  const navigate = useNavigate();
  const path = useRouterState({ select: (state) => state.location.pathname });

  const all = (projects.data ?? []).flatMap((project) =>
    project.domains.map((domain) => ({ project: project.id, domain: domain.id })),
  );
  const isKnown = (one: Place) =>
    all.some((each) => each.project === one.project && each.domain === one.domain);
  const recent = recentPlaces.filter(isKnown);
  const others = all.filter(
    (one) => !recent.some((each) => each.project === one.project && each.domain === one.domain),
  );
  const found = rank(query, [...recent, ...others], nameOf, 50);

  const go = (to: Place) => {
    onClose();
    // The same list of the other project; a page of one thing has none there.
    const noun = /^\/v2\/domain\/[^/]+\/project\/[^/]+\/([^/]+)/.exec(path)?.[1] ?? "runs";
    void navigate({ to: placePath(to, noun) });
  };
  return (
    <Dialog title="Project and domain" className="palette" onClose={onClose}>
      <Combobox
        label="Project and domain"
        placeholder="Type to find a project"
        query={query}
        onQuery={setQuery}
        note={projects.isPending ? "Loading the projects …" : undefined}
        options={found.map((one) => ({
          id: nameOf(one),
          label: nameOf(one),
          group: recent.includes(one) ? "recent" : undefined,
          run: () => go(one),
        }))}
      />
    </Dialog>
  );
}

function nameOf(place: Place): string {
  return `${place.project} / ${place.domain}`;
}
