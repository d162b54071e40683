import { To } from "../parts/basics";
import { useMay } from "./session";

const ORG = { project: "", domain: "" };

/** A link to what the audit log has of an object (`kind:id`), for those who may read it. */
export function AuditLink({ target, name }: { target: string; name: string }) {
  if (!useMay()("audit:read", ORG)) return null;
  return (
    <To to={`/v2/admin/audit?target=${encodeURIComponent(target)}`}>
      History<span className="sr"> of {name}</span>
    </To>
  );
}
