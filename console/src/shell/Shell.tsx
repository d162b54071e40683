import { useQueryClient } from "@tanstack/react-query";
import { Outlet, useMatches, useNavigate, useRouterState } from "@tanstack/react-router";
import { lazy, Suspense, useEffect, useState, useSyncExternalStore } from "react";
import { problemOf } from "../api/errors";
import { release } from "../api/server";
import { Dialog } from "../parts/basics";
import { Icon } from "../parts/icons";
import { Boundary, Empty } from "../parts/states";
import { handle, useKeys } from "./keys";
import { rememberPlace, setPreferences, usePreferences } from "./preferences";
import { Rail } from "./Rail";
import { loginPath, useWho } from "./session";
import { usePlace } from "./url";

const KeyTable = lazy(async () => ({ default: (await import("./KeyTable")).KeyTable }));
const Palette = lazy(async () => ({ default: (await import("./Palette")).Palette }));

/** The frame around every page: rail, banners, keys, and the dialogs that any page may need. */
export function Shell() {
  const [open, setOpen] = useState<"palette" | "keys" | "menu" | undefined>();
  const [expired, setExpired] = useState(false);
  const { railOpen } = usePreferences();
  const place = usePlace();
  const path = useRouterState({ select: (state) => state.location.pathname });
  const navigate = useNavigate();
  const who = useWho();

  useEffect(() => {
    if (place !== undefined) rememberPlace(place);
  }, [place]);

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => void handle(event);
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, []);
  useKeys([
    { key: "Ctrl+k", does: "go to anything", run: () => setOpen("palette") },
    { key: "?", does: "show the keys", run: () => setOpen("keys") },
  ]);

  useEffect(() => {
    // It should be there when it is asked for: what one types next belongs into its field.
    const timer = setTimeout(() => void import("./Palette"), 1500);
    return () => clearTimeout(timer);
  }, []);
  useExpiry(() => setExpired(true));
  // biome-ignore lint/correctness/useExhaustiveDependencies: another page closes the menu
  useEffect(() => setOpen(undefined), [path]);

  if (who.isError && problemOf(who.error).kind === "login") {
    location.assign(loginPath());
    return null;
  }
  return (
    <div
      className={`shell ${railOpen ? "rail-open" : "rail-closed"} ${open === "menu" ? "menu-open" : ""}`}
    >
      <a className="skip" href="#page">
        Skip to the page
      </a>
      <Rail
        onFind={() => setOpen("palette")}
        onKeys={() => setOpen("keys")}
        onMenu={() => setOpen(open === "menu" ? undefined : "menu")}
      />
      <div className="stage">
        {who.data?.anonymous && <AnonymousBanner />}
        <NewRelease />
        <main id="page" tabIndex={-1}>
          <Boundary name="This page" reset={path}>
            <Outlet />
          </Boundary>
        </main>
      </div>
      <Suspense>
        {open === "palette" && (
          <Palette
            onClose={() => setOpen(undefined)}
            go={(to) => {
              setOpen(undefined);
              const [pathname = "", query = ""] = to.split("?");
              const search = Object.fromEntries(new URLSearchParams(query));
              void navigate({ to: pathname, search: search as never });
            }}
          />
        )}
        {open === "keys" && <KeyTable onClose={() => setOpen(undefined)} />}
      </Suspense>
      {expired && <Expired onBack={() => setExpired(false)} />}
    </div>
  );
}

function AnonymousBanner() {
  return (
    <aside className="banner" aria-label="Logins">
      <Icon name="link" /> Nobody logs in here: everyone who reaches this address may do anything.
    </aside>
  );
}

function NewRelease() {
  const changed = useSyncExternalStore(release.subscribe, release.hasChanged);
  if (!changed) return null;
  return (
    <aside className="banner" aria-label="Release">
      A new version of the console is there.{" "}
      <button type="button" className="small" onClick={() => location.reload()}>
        Load it
      </button>
    </aside>
  );
}

/** Calls `onExpired` when a call fails because the session has ended. */
function useExpiry(onExpired: () => void): void {
  const queries = useQueryClient();
  useEffect(
    () =>
      queries.getQueryCache().subscribe((event) => {
        if (event.type !== "updated" || event.action.type !== "error") return;
        if (problemOf(event.action.error).kind === "login" && event.query.state.dataUpdatedAt > 0) {
          onExpired();
        }
      }),
    [queries, onExpired],
  );
}

function Expired({ onBack }: { onBack: () => void }) {
  const queries = useQueryClient();
  const retry = async () => {
    await queries.refetchQueries({ queryKey: ["who"] });
    if (queries.getQueryState(["who"])?.status === "success") {
      onBack();
      void queries.invalidateQueries();
    }
  };
  return (
    <Dialog title="Your session has ended" onClose={onBack}>
      <p>Log in again in a window of its own. What you typed here stays.</p>
      <p className="actions">
        <a
          className="button primary"
          href="/login?next=%2Fsessions"
          target="_blank"
          rel="noreferrer"
        >
          Log in
        </a>
        <button type="button" onClick={() => void retry()}>
          I am logged in
        </button>
      </p>
    </Dialog>
  );
}

export function NotFound() {
  useTitle("Nothing here");
  return (
    <Empty title="There is no such page">
      <p>Press Ctrl K to find a run, a task or a page.</p>
    </Empty>
  );
}

/** Names the tab: the page's own words, then the product. */
export function useTitle(title: string): void {
  const matches = useMatches();
  const fallback = matches.at(-1)?.staticData.title ?? "";
  useEffect(() => {
    document.title = `${title || fallback} · Volary`;
  }, [title, fallback]);
}

export function useThemeToggle(): () => void {
  const { theme } = usePreferences();
  return () => {
    const isDark =
      theme === "dark" ||
      (theme === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
    setPreferences({ theme: isDark ? "light" : "dark" });
  };
}
