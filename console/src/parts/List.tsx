import type { ReactNode } from "react";
import { problemOf } from "../api/errors";
import type { usePaged } from "../api/paged";
import { Skeleton, Trouble } from "./states";
import { type Column, More, Table } from "./Table";

/** A list of the server with its states: loading, trouble, empty, rows, more rows. */
export function List<Row>(props: {
  label: string;
  list: ReturnType<typeof usePaged<Row>>;
  columns: readonly Column<Row>[];
  keyOf: (row: Row) => string;
  empty: ReactNode;
}) {
  const { list } = props;
  if (list.rows === undefined) {
    if (list.isError)
      return <Trouble problem={problemOf(list.error)} retry={() => void list.refetch()} />;
    return <Skeleton />;
  }
  if (list.rows.length === 0 && !list.hasNextPage) return props.empty;
  return (
    <>
      {list.isError && (
        <p className="stale">This may be out of date: {problemOf(list.error).message}</p>
      )}
      <Table label={props.label} rows={list.rows} keyOf={props.keyOf} columns={props.columns} />
      <More
        shown={list.rows.length}
        isMore={list.hasNextPage}
        isLoading={list.isFetchingNextPage}
        load={() => void list.fetchNextPage()}
      />
    </>
  );
}
