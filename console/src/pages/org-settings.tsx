import { text } from "../model/url";
import { SelectField } from "../parts/inputs";
import { useProjects } from "../shell/session";
import { useUrl } from "../shell/url";
import { SettingsView } from "./settings/SettingsView";

const URL_STATE = { of: text(), project: text() };

/** Settings of the org, of a domain in all projects, or of a project: the levels down to the chosen one. */
export default function OrgSettings() {
  const { values, set } = useUrl(URL_STATE);
  const projects = useProjects().data ?? [];
  const domains = [...new Set(projects.flatMap((each) => each.domains.map(({ id }) => id)))].sort();
  const known = (name: string, names: readonly string[]) =>
    name === "" || names.includes(name) ? names : [name, ...names];
  const place = { domain: values.of, project: values.of === "" ? "" : values.project };
  return (
    <SettingsView
      place={place}
      title="Org settings"
      lede="Defaults and limits of the runs of all projects that are created from now on. A domain's and a project's settings go before the org's."
    >
      <form className="filters" onSubmit={(event) => event.preventDefault()}>
        <SelectField
          label="Domain"
          value={values.of}
          set={(of) => set({ of, project: of === "" ? "" : values.project })}
          choices={[
            { value: "", label: "all domains: the org's level" },
            ...known(values.of, domains),
          ]}
        />
        {values.of !== "" && (
          <SelectField
            label="Project"
            value={values.project}
            set={(project) => set({ project })}
            choices={[
              { value: "", label: "all projects: the domain's level" },
              ...known(
                values.project,
                projects.map(({ id }) => id),
              ),
            ]}
          />
        )}
      </form>
    </SettingsView>
  );
}
