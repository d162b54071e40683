import { useMutation } from "@tanstack/react-query";
import { client } from "../../api/clients";
import { problemOf } from "../../api/errors";
import { FileService } from "../../gen/shared/idl/platform/v1/file_pb";

export const files = client(FileService);

/** Opens a signed link to a file of the bucket, which is made when it is asked for. */
export function Download({ uri, label = "Download" }: { uri: string; label?: string }) {
  const open = useMutation({
    mutationFn: async () => {
      const { signedUrl } = await files.createFileLink({ uri });
      const link = document.createElement("a");
      link.href = signedUrl;
      link.download = uri.split("/").at(-1) ?? "";
      link.target = "_blank"; // a bucket may show it in place of saving it
      link.rel = "noreferrer";
      link.click();
    },
  });
  return (
    <>
      <button
        type="button"
        className="small"
        disabled={open.isPending}
        aria-label={`${label}: ${uri.slice(-80)}`}
        onClick={() => open.mutate()}
      >
        {label}
      </button>
      {open.isError && (
        <span role="alert" className="error-line">
          {" "}
          {problemOf(open.error).message}
        </span>
      )}
    </>
  );
}
