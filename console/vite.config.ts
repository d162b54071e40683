import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";
import { compress } from "./scripts/compress.ts";

const SERVER = "http://localhost:8100";
const PROXIED = ["^/flyteidl2\\.", "^/volary\\.", "/blobs", "/oauth2", "/login", "/healthz"];

export default defineConfig({
  base: "/console/",
  plugins: [react(), compress()],
  build: {
    outDir: "../controlplane/web/console",
    emptyOutDir: true,
    assetsInlineLimit: 0, // the policy of the page allows no inline scripts or styles
    modulePreload: { polyfill: false },
    target: "es2023",
  },
  server: {
    proxy: Object.fromEntries(PROXIED.map((path) => [path, { target: SERVER }])),
  },
  test: { environment: "node", include: ["src/**/*.test.ts"] },
});
