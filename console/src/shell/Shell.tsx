import { Outlet, useMatches, useNavigate, useRouterState } from "@tanstack/react-router";
import { lazy, Suspense, useEffect, useState, useSyncExternalStore } from "react";
import { problemOf } from "../api/errors";
import { release } from "../api/server";
import { session } from "../api/session";
import { allows } from "../model/permissions";
import { Icon } from "../parts/icons";
import { Boundary, Empty, Trouble } from "../parts/states";
import { handle, useKeys } from "./keys";
import { rememberPlace, setPreferences, usePreferences } from "./preferences";
import { Rail } from "./Rail";
import { loginPath, useWho } from "./session";
import { usePlace } from "./url";

const KeyTable = lazy(async () => ({ default: (await import("./KeyTable")).KeyTable }));
const Expired = lazy(async () => ({ default: (await import("./Expired")).Expired }));
const Palette = lazy(async () => ({ default: (await import("./Palette")).Palette }));

/** The frame around every page: rail, banners, keys, and the dialogs that any page may need. */
export function Shell() {
  const [open, setOpen] = useState<"palette" | "keys" | "menu" | undefined>();
  const { railOpen } = usePreferences();
  const place = usePlace();
  const path = useRouterState({ select: (state) => state.location.pathname });
  const navigate = useNavigate();
  const who = useWho();
  const needs = useMatches().at(-1)?.staticData.needs ?? "";
  const isHidden = needs !== "" && who.data !== undefined && !allows(who.data.grants, needs, place);
  const hasEnded = useSyncExternalStore(session.subscribe, session.hasEnded);

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
    // They should be there when they are asked for: what one types next belongs into the palette's
    // field, and a browser without a session gets no files.
    const timer = setTimeout(() => {
      void import("./Palette");
      void import("./Expired");
    }, 1500);
    return () => clearTimeout(timer);
  }, []);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another page closes the menu
  useEffect(() => setOpen(undefined), [path]);

  // What was typed on an open page must not be lost; one that shows nothing yet leads to the login.
  if (who.data === undefined && who.isError && problemOf(who.error).kind === "login") {
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
            {isHidden ? <NothingHere needs={needs} /> : <Outlet />}
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
      <Suspense>{hasEnded && who.data !== undefined && <Expired was={who.data} />}</Suspense>
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

/** The page of something that one may not see, which is as if it did not exist. */
function NothingHere({ needs }: { needs: string }) {
  useTitle("Nothing here");
  return (
    <Trouble
      problem={{
        kind: "missing",
        title: "There is nothing here that you may see",
        message: `It does not exist, or your role does not include ${needs} here.`,
        code: "PermissionDenied",
        requestId: "",
      }}
    />
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
