/** Icons of the rail: one stroke, 16 px, drawn by hand, so that no icon font or package is needed. */
const PATHS: Record<string, string> = {
  home: "M2.5 7.5 8 3l5.5 4.5V13h-4V9.5h-3V13h-4z",
  runs: "M4.5 3.5v9l8-4.5z",
  tasks: "M3 3h4v4H3zM9 3h4v4H9zM3 9h4v4H3zM9 9h4v4H9z",
  usage: "M3 13V9M6.500 13V5M10 13V7.500M13.500 13V3",
  clock: "M5 2.500h6M5 13.500h6M5.500 2.500v2L8 8l2.500-3.500v-2M5.500 13.500v-2L8 8l2.500 3.500v2",
  triggers: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM8 5v3l2.2 1.6",
  artifacts: "M8 2.2 13 5v6l-5 2.8L3 11V5zM3 5l5 2.8L13 5M8 7.8v6",
  secrets: "M4 7h8v6H4zM5.5 7V5a2.5 2.5 0 0 1 5 0v2",
  settings: "M2.5 4.5h7M12.5 4.5h1M2.5 11.5h1M6.5 11.5h7M11 3v3M5 10v3",
  clusters: "M3 3h10v4H3zM3 9h10v4H3zM5 5h.01M5 11h.01",
  queues: "M3 4h10M3 8h7M3 12h4",
  people:
    "M6 7.2a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4zM2 13c.3-2.4 1.800-3.800 4-3.800s3.700 1.400 4 3.800M10.500 3.200a2 2 0 0 1 0 3.800M11.500 9.400c1.500.4 2.300 1.600 2.500 3.600",
  keys: "M5.500 6.500a2.500 2.500 0 1 0 0 5 2.500 2.500 0 0 0 0-5zM7.400 7.300 13 2.500M11 4.300l1.500 1.500",
  audit: "M4 2.500h6l2 2v9H4zM6 6.500h4M6 9h4M6 11.500h2.500",
  roles: "M8 2.300 13 4v4c0 3-2 4.800-5 5.700C5 12.800 3 11 3 8V4z",
  link: "M6.500 9.500l3-3M7 5l1.500-1.500a2.500 2.500 0 0 1 4 3.500L11 8.500M9 11l-1.500 1.500a2.500 2.500 0 0 1-4-3.500L5 7.500",
  me: "M8 8a2.600 2.600 0 1 0 0-5.200A2.600 2.600 0 0 0 8 8zM3 13.500c.5-2.600 2.300-4 5-4s4.500 1.400 5 4",
  menu: "M2.500 4.500h11M2.500 8h11M2.500 11.500h11",
  search: "M7 3a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM10 10l3.200 3.200",
  sun: "M8 5.500a2.500 2.500 0 1 0 0 5 2.500 2.500 0 0 0 0-5zM8 1.800v1.500M8 12.700v1.500M1.800 8h1.500M12.700 8h1.500M3.600 3.600l1 1M11.400 11.400l1 1M12.400 3.600l-1 1M4.600 11.400l-1 1",
  providers: "M3 6l5-3 5 3M4 6v6M8 6v6M12 6v6M2.500 13h11",
  bell: "M4.500 11V7.500a3.500 3.500 0 0 1 7 0V11l1 1h-9zM7 13.500h2",
};

export function Icon({ name }: { name: string }) {
  return (
    <svg className="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={PATHS[name] ?? PATHS.home} />
    </svg>
  );
}
