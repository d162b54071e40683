import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  RouterProvider,
} from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { isPassing, problemOf } from "./api/errors";
import { formatSearch, parseSearch } from "./model/url";
import { PAGES } from "./routes";
import { apply } from "./shell/preferences";
import { NotFound, Shell } from "./shell/Shell";
import "./styles/base.css";
import "./styles/shell.css";
import "./styles/parts.css";
import "./styles/tables.css";

apply();

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      refetchOnWindowFocus: true,
      retry: (count, error) => count < 3 && isPassing(problemOf(error)),
      retryDelay: (attempt) => Math.random() * Math.min(8000, 500 * 2 ** attempt),
    },
  },
});

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound });
const routes = PAGES.map((page) =>
  createRoute({
    getParentRoute: () => root,
    path: page.path,
    component: lazyRouteComponent(page.load),
    staticData: { title: page.title, needs: page.isAnywhere ? undefined : page.needs },
  }),
);
const router = createRouter({
  routeTree: root.addChildren(routes),
  parseSearch,
  stringifySearch: formatSearch,
  scrollRestoration: true,
  defaultPreload: "intent",
});

declare module "@tanstack/react-router" {
  interface StaticDataRouteOption {
    title?: string;
    needs?: string;
  }
}

createRoot(document.getElementById("console")!).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      <RouterProvider router={router} />
    </QueryClientProvider>
  </StrictMode>,
);
