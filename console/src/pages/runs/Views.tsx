import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { formatSearch, parseSearch } from "../../model/url";
import { viewsOf, withoutView, withView } from "../../model/views";
import { Dialog } from "../../parts/basics";
import { TextField } from "../../parts/inputs";
import { Menu } from "../../parts/Menu";
import { setPreferences, usePreferences } from "../../shell/preferences";
import type { Place } from "../../shell/url";

/** Filters of this project that have a name, kept in this browser; each is an address. */
export function Views({ place }: { place: Place }) {
  const { runViews } = usePreferences();
  const [isNaming, setNaming] = useState(false);
  const [name, setName] = useState("");
  const navigate = useNavigate();
  const views = viewsOf(runViews, place);
  const show = (query: string) =>
    void navigate({ to: ".", search: (() => parseSearch(query)) as never });
  return (
    <>
      <Menu label="Views">
        {views.length === 0 && <p className="quiet">Filters and columns that you give a name.</p>}
        {views.map((view) => (
          <p key={view.name} className="menu-row">
            <button type="button" className="bare" onClick={() => show(view.query)}>
              {view.name}
            </button>
            <button
              type="button"
              className="bare small"
              aria-label={`Forget the view ${view.name}`}
              onClick={() => setPreferences({ runViews: withoutView(runViews, view) })}
            >
              ✕
            </button>
          </p>
        ))}
        <button type="button" className="small" onClick={() => setNaming(true)}>
          Save what is shown …
        </button>
      </Menu>
      {isNaming && (
        <Dialog title="Save what is shown" onClose={() => setNaming(false)}>
          <form
            className="form"
            onSubmit={(event) => {
              event.preventDefault();
              const query = formatSearch(parseSearch(location.search));
              setPreferences({ runViews: withView(runViews, { ...place, name, query }) });
              setName("");
              setNaming(false);
            }}
          >
            <TextField
              label="Name of the view"
              value={name}
              set={setName}
              hint="One of the same name is replaced. It is kept in this browser; its link works everywhere."
              required
            />
            <p className="actions">
              <button type="submit" className="primary">
                Save
              </button>
              <button type="button" onClick={() => setNaming(false)}>
                Cancel
              </button>
            </p>
          </form>
        </Dialog>
      )}
    </>
  );
}
