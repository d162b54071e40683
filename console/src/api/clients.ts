import type { DescService } from "@bufbuild/protobuf";
import {
  type Client,
  Code,
  ConnectError,
  createClient,
  type Interceptor,
} from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { ProjectService } from "../gen/flyteidl2/project/project_service_pb";
import { RunService } from "../gen/flyteidl2/workflow/run_service_pb";
import { release, serverClock } from "./server";
import { session } from "./session";

/** Notes the server's clock and release from the headers of every answer, and the end of the session. */
const observe: Interceptor = (next) => async (request) => {
  try {
    const answer = await next(request);
    serverClock.observe(answer.header.get("date"));
    release.observe(answer.header.get("x-volary-release"));
    return answer;
  } catch (error) {
    if (ConnectError.from(error).code === Code.Unauthenticated) session.end();
    throw error;
  }
};

const transport = createConnectTransport({
  baseUrl: location.origin,
  useBinaryFormat: true,
  interceptors: [observe],
});

/** A client of any service of the server, for pages that load their own: `client(QueueService)`. */
export function client<Service extends DescService>(service: Service): Client<Service> {
  return createClient(service, transport);
}

export const projects = client(ProjectService);
export const runs = client(RunService);
