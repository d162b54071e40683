import { type QueryKey, useInfiniteQuery } from "@tanstack/react-query";

/** A page of a list: its rows, and the token of the next page or nothing. */
export type PageOf<Row> = { rows: readonly Row[]; next: string };

/** A list that is read page by page. `refresh`: milliseconds after which the pages are read again. */
export function usePaged<Row>(
  key: QueryKey,
  read: (token: string, signal: AbortSignal) => Promise<PageOf<Row>>,
  options: { refresh?: number; enabled?: boolean } = {},
) {
  const query = useInfiniteQuery({
    queryKey: key,
    initialPageParam: "",
    getNextPageParam: (page: PageOf<Row>) => page.next || undefined,
    queryFn: ({ pageParam, signal }) => read(pageParam, signal),
    refetchInterval: options.refresh ?? false,
    enabled: options.enabled ?? true,
  });
  return { ...query, rows: query.data?.pages.flatMap((page) => page.rows) };
}
