import { Dialog } from "../parts/basics";
import { activeKeys } from "./keys";
import { setPreferences, usePreferences } from "./preferences";

/** `?`: the keys that act on this page now, and the switch of the single ones. */
export function KeyTable({ onClose }: { onClose: () => void }) {
  const { singleKeys } = usePreferences();
  return (
    <Dialog title="Keys" onClose={onClose}>
      <table className="keys">
        <thead>
          <tr>
            <th scope="col">Key</th>
            <th scope="col">Does</th>
          </tr>
        </thead>
        <tbody>
          {activeKeys().map((each) => (
            <tr key={each.key}>
              <td>
                <kbd>{each.key.replace("Ctrl+k", "Ctrl K")}</kbd>
              </td>
              <td>{each.does}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <label className="check">
        <input
          type="checkbox"
          checked={singleKeys}
          onChange={(event) => setPreferences({ singleKeys: event.target.checked })}
        />
        Keys without Ctrl act (off: only Ctrl K does)
      </label>
    </Dialog>
  );
}
