import { Link } from "@tanstack/react-router";
import logo from "../favicon.svg";
import { Icon } from "../parts/icons";
import { type Page, PROJECT } from "../routes";
import { PlacePicker } from "./PlacePicker";
import { setPreferences, usePreferences } from "./preferences";
import { useThemeToggle } from "./Shell";
import { useOrg, usePages, useWho } from "./session";
import { type Place, usePlace } from "./url";

/** Navigation: the project first, then the org, then the person. */
export function Rail(props: { onFind: () => void; onKeys: () => void; onMenu: () => void }) {
  const { recentPlaces, railOpen } = usePreferences();
  const place = usePlace() ?? recentPlaces[0] ?? { project: "flytesnacks", domain: "development" };
  const org = useOrg();
  const who = useWho();
  const pages = usePages(place);
  const toggleTheme = useThemeToggle();
  return (
    <nav className="rail" aria-label="Main">
      <div className="rail-top">
        <Link to="/v2" className="brand" title="Home">
          <img src={logo} alt="" width="24" height="24" />
          <span className="rail-label">{org.data?.displayName || org.data?.name || "Volary"}</span>
        </Link>
        <button type="button" className="bare menu-button" aria-label="Menu" onClick={props.onMenu}>
          <Icon name="menu" />
        </button>
      </div>
      <div className="rail-menu">
        <button type="button" className="find" onClick={props.onFind} aria-keyshortcuts="Control+K">
          <Icon name="search" />
          <span className="rail-label">Find</span>
          <kbd className="rail-label">Ctrl K</kbd>
        </button>
        <PlacePicker place={place} />
        <RailLinks pages={inSection(pages, "project")} place={place} />
        <hr />
        <RailLinks pages={inSection(pages, "org")} place={place} />
        <div className="rail-foot">
          <div className="rail-bottom">
            <button
              type="button"
              className="bare"
              onClick={toggleTheme}
              aria-label="Change the theme"
              title="Theme"
            >
              <Icon name="sun" />
            </button>
            <button
              type="button"
              className="bare"
              onClick={props.onKeys}
              aria-label="Show the keys"
              title="Keys (?)"
            >
              ?
            </button>
            <button
              type="button"
              className="bare rail-fold"
              aria-label={railOpen ? "Fold the menu" : "Unfold the menu"}
              aria-expanded={railOpen}
              onClick={() => setPreferences({ railOpen: !railOpen })}
            >
              {railOpen ? "«" : "»"}
            </button>
          </div>
          <Link to="/v2/me" className="rail-link" activeProps={{ className: "active" }} title="Me">
            <Icon name="me" />
            <span className="rail-label">{who.data?.name || who.data?.email || "Me"}</span>
          </Link>
        </div>
      </div>
    </nav>
  );
}

function inSection(pages: readonly Page[], section: "project" | "org"): Page[] {
  return pages.filter((page) => page.rail?.section === section);
}

function RailLinks({ pages, place }: { pages: Page[]; place: Place }) {
  return (
    <ul>
      {pages.map((page) => (
        <li key={page.path}>
          <Link
            to={page.path}
            params={(page.path.startsWith(PROJECT) ? place : {}) as never}
            className="rail-link"
            activeProps={{ className: "active" }}
            activeOptions={{ includeSearch: false, exact: page.path === "/v2" }}
            title={page.title}
          >
            <Icon name={page.rail?.icon ?? "home"} />
            <span className="rail-label">{page.title}</span>
          </Link>
        </li>
      ))}
    </ul>
  );
}
