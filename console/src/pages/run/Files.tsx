import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { problemOf } from "../../api/errors";
import { usePaged } from "../../api/paged";
import type { CodeFile, File } from "../../gen/shared/idl/platform/v1/file_pb";
import { formatBytes } from "../../model/bytes";
import { Copy } from "../../parts/basics";
import { List } from "../../parts/List";
import { Empty, Loaded } from "../../parts/states";
import type { Place } from "../../shell/url";
import { Download, files } from "./Download";

type FilesProps = { place: Place; run: string; action: string; attempt: number; phase: number };

/** What an attempt wrote into the bucket, and the code that it ran. */
export function Files(props: FilesProps) {
  return (
    <div className="stack">
      <section aria-label="Written files">
        <h3>Written by this attempt</h3>
        {props.attempt > 0 ? <Written {...props} /> : <p className="quiet">It has not started.</p>}
      </section>
      <section aria-label="Code">
        <h3>Code</h3>
        <Code {...props} />
      </section>
    </div>
  );
}

function Written(props: FilesProps) {
  const { place, run, action, attempt, phase } = props;
  const list = usePaged<File>(
    ["files", place, run, action, attempt, phase],
    async (pageToken, signal) => {
      const request = { ...place, run, action, attempt, pageSize: 100, pageToken };
      const answer = await files.listFiles(request, { signal });
      return { rows: answer.files, next: answer.nextPageToken };
    },
  );
  return (
    <List
      label="Written files"
      list={list}
      keyOf={(file) => file.uri}
      empty={<p className="quiet">It has written no file.</p>}
      columns={[
        { name: "File", wrap: true, cell: (file) => <code className="break">{file.path}</code> },
        { name: "Size", align: "right", cell: (file) => formatBytes(file.size) },
        { name: "Download", hidden: true, cell: (file) => <Download uri={file.uri} /> },
      ]}
    />
  );
}

function Code({ place, run, action }: FilesProps) {
  const [path, setPath] = useState("");
  const list = usePaged<CodeFile>(["code", place, run, action], async (pageToken, signal) => {
    const request = { ...place, run, action, pageSize: 200, pageToken };
    const answer = await files.listCodeFiles(request, { signal });
    return { rows: answer.files, next: answer.nextPageToken };
  });
  if (list.isError && problemOf(list.error).kind === "missing") {
    return <p className="quiet">There is no code bundle: the code is in the image.</p>;
  }
  if (path !== "") {
    return (
      <CodeText place={place} run={run} action={action} path={path} close={() => setPath("")} />
    );
  }
  return (
    <List
      label="Files of the code bundle"
      list={list}
      keyOf={(file) => file.path}
      empty={<Empty title="The code bundle is empty" />}
      columns={[
        {
          name: "File",
          wrap: true,
          cell: (file) => (
            <button
              type="button"
              className="tag-button link-like mono break"
              onClick={() => setPath(file.path)}
            >
              {file.path}
            </button>
          ),
        },
        { name: "Size", align: "right", cell: (file) => formatBytes(file.size) },
      ]}
    />
  );
}

function CodeText(props: {
  place: Place;
  run: string;
  action: string;
  path: string;
  close: () => void;
}) {
  const { place, run, action, path } = props;
  const query = useQuery({
    queryKey: ["code file", place, run, action, path],
    staleTime: Number.POSITIVE_INFINITY, // a bundle never changes
    queryFn: ({ signal }) => files.readCodeFile({ ...place, run, action, path }, { signal }),
  });
  return (
    <div className="stack">
      <p className="actions">
        <button type="button" className="small" onClick={props.close}>
          All files
        </button>
        <code className="break">{path}</code>
        {query.data && !query.data.binary && <Copy text={query.data.text} />}
      </p>
      <Loaded query={query}>
        {(answer) =>
          answer.binary ? (
            <Empty title={`No text: ${formatBytes(answer.file?.size ?? 0n)} of something else`} />
          ) : (
            <>
              {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls by the keyboard */}
              <pre className="code" tabIndex={0}>
                {answer.text}
              </pre>
              {answer.truncated && (
                <p className="quiet">
                  The file goes on: it has {formatBytes(answer.file?.size ?? 0n)}.
                </p>
              )}
            </>
          )
        }
      </Loaded>
    </div>
  );
}
