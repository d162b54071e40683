import { SelectField } from "../../parts/inputs";
import { useProjects } from "../../shell/session";
import type { Place } from "../../shell/url";

/** Where a role holds: in the whole org, in a project, or in one domain of a project. */
export function PlaceFields({ place, set }: { place: Place; set: (place: Place) => void }) {
  const projects = useProjects().data ?? [];
  const domains = projects.find((each) => each.id === place.project)?.domains ?? [];
  return (
    <>
      <SelectField
        label="Project"
        value={place.project}
        set={(project) => set({ project, domain: "" })}
        choices={[{ value: "", label: "the whole org" }, ...projects.map((each) => each.id)]}
      />
      {place.project !== "" && (
        <SelectField
          label="Domain"
          value={place.domain}
          set={(domain) => set({ ...place, domain })}
          choices={[{ value: "", label: "all domains" }, ...domains.map((each) => each.id)]}
        />
      )}
    </>
  );
}
