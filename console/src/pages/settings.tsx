import { usePath } from "../shell/url";
import { SettingsView } from "./settings/SettingsView";

/** What runs of a project and domain are given. */
export default function Settings() {
  return (
    <SettingsView
      place={usePath<"project" | "domain">()}
      title="Settings"
      lede="Defaults and limits of the runs that are created here from now on. The closest level that has a value holds: project, then domain, then org. What a task or a run asks for itself goes before all of them, up to the maximums."
    />
  );
}
