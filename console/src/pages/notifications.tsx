import { oneOf } from "../model/url";
import { Page } from "../parts/Page";
import { Tabs } from "../parts/Tabs";
import { useMay } from "../shell/session";
import { useUrl } from "../shell/url";
import { Configs } from "./notifications/Configs";
import { Deliveries } from "./notifications/Deliveries";
import { Rules } from "./notifications/Rules";

const TABS = [
  { id: "deliveries", name: "Deliveries" },
  { id: "rules", name: "Rules" },
  { id: "configs", name: "Delivery configurations" },
] as const;
const URL_STATE = {
  tab: oneOf(["deliveries", "rules", "configs"], "deliveries"),
  state: oneOf(["", "pending", "delivered", "failed"], ""),
};

/** Webhooks and mails about runs: those that were sent, what is reported, and to whom. */
export default function Notifications() {
  const { values, set } = useUrl(URL_STATE);
  // Addresses may be secret, so only who may change configurations reads them.
  const canWrite = useMay()("notification:write");
  const tabs = TABS.filter(({ id }) => id !== "configs" || canWrite);
  const chosen = tabs.some(({ id }) => id === values.tab) ? values.tab : "deliveries";
  return (
    <Page
      title="Notifications"
      lede="Webhooks and mails about runs. A run names a rule of the org, or has its own."
    >
      <Tabs label="Notifications" tabs={tabs} chosen={chosen} onChoose={(tab) => set({ tab })}>
        {chosen === "deliveries" && (
          <Deliveries state={values.state} setState={(state) => set({ state })} />
        )}
        {chosen === "rules" && <Rules canWrite={canWrite} />}
        {chosen === "configs" && <Configs />}
      </Tabs>
    </Page>
  );
}
