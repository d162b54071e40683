import { Code, ConnectError } from "@connectrpc/connect";

/** An error as the pages show it: a sentence, and what a person can do. */
export type Problem = {
  kind: "login" | "missing" | "unbuilt" | "unreachable" | "refused" | "conflict" | "other";
  title: string;
  message: string;
  code: string;
  requestId: string;
};

const TITLES: Record<Problem["kind"], string> = {
  login: "You are logged out",
  missing: "There is nothing here that you may see",
  unbuilt: "This release does not serve this yet",
  unreachable: "The control plane does not answer",
  refused: "The control plane refused this",
  conflict: "Somebody else changed this first",
  other: "Something went wrong",
};

/** Turns anything thrown into a sentence; never into a stack or a raw status. */
export function problemOf(error: unknown): Problem {
  const connect = ConnectError.from(error);
  const kind = kindOf(connect, error);
  const title = connect.code === Code.FailedPrecondition ? "Not as things are now" : TITLES[kind];
  const message =
    kind === "unreachable"
      ? "Runs go on without it. This page tries again by itself."
      : kind === "missing"
        ? `${sentence(connect.rawMessage)} It does not exist, or your role does not include it.`
        : sentence(connect.rawMessage);
  return {
    kind,
    title,
    message,
    code: Code[connect.code] ?? "Unknown",
    requestId: connect.metadata.get("x-request-id") ?? "",
  };
}

function kindOf(error: ConnectError, original: unknown): Problem["kind"] {
  if (original instanceof TypeError) return "unreachable"; // fetch found no server
  switch (error.code) {
    case Code.Unauthenticated:
      return "login";
    case Code.NotFound:
    case Code.PermissionDenied:
      return "missing";
    case Code.Unimplemented:
      return "unbuilt";
    case Code.Unavailable:
    case Code.DeadlineExceeded:
      return "unreachable";
    case Code.Aborted:
      return "conflict";
    case Code.InvalidArgument:
    case Code.FailedPrecondition:
    case Code.AlreadyExists:
    case Code.ResourceExhausted:
    case Code.OutOfRange:
      return "refused";
    default:
      return "other";
  }
}

function sentence(message: string): string {
  const text = message.trim();
  if (text === "") return "The control plane gave no reason.";
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(whole) ? whole : `${whole}.`;
}

/** Whether asking again later may help by itself. */
export function isPassing(problem: Problem): boolean {
  return problem.kind === "unreachable" || problem.kind === "other";
}
